"""pypiserver on a socket that its parent has bound: run as a module.

    python -m roadmap_progress.servers._package_server SETTINGS_FILE

Each request is written to the log before its answer is sent, so whoever has the answer finds the request there.
"""

from __future__ import annotations

import hmac
import json
import os
import socket
import sys
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


class ThreadingServer(ThreadingMixIn, WSGIServer):
    """A thread for each connection: an installer opens several."""

    daemon_threads = True

    def take_over(self, listener: socket.socket) -> None:
        """Serve on a socket that is bound and listens."""
        self.socket.close()
        self.socket = listener
        self.server_address = listener.getsockname()
        self.server_name, self.server_port = listener.getsockname()
        self.setup_environ()


class Handler(WSGIRequestHandler):
    """Logs nothing itself, and asks no DNS who the client is."""

    def address_string(self) -> str:
        return str(self.client_address[0])

    def log_message(self, *_: Any) -> None:
        pass


def logged(app: WSGIApplication, log: Path) -> WSGIApplication:
    """The application, with a line in the log for each request."""
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], error: Any = None) -> Any:
            line = json.dumps([environ["REQUEST_METHOD"], environ["PATH_INFO"], int(status.split(maxsplit=1)[0])])
            os.write(descriptor, line.encode() + b"\n")  # one write: lines of several threads do not mix
            return start_response(status, headers, error)

        return app(environ, start)

    return application


def main() -> None:
    """Take over the socket and serve."""
    import pypiserver  # type: ignore[import-untyped]  # it has no annotations

    settings = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))

    def may_publish(username: str, password: str) -> bool:
        given, expected = (f"{username}:{password}", f"{settings['username']}:{settings['password']}")
        return hmac.compare_digest(given.encode(), expected.encode())

    app = pypiserver.app(
        roots=[Path(settings["packages"])],
        authenticate=["update"],
        auther=may_publish,  # codespell:ignore auther - pypiserver spells it so
        disable_fallback=True,  # what is not here is not looked for on the internet
        overwrite=False,
    )
    listener = socket.socket(fileno=settings["descriptor"])
    server = ThreadingServer(listener.getsockname(), Handler, bind_and_activate=False)
    server.take_over(listener)
    server.set_app(logged(app, Path(settings["log"])))
    server.serve_forever()


if __name__ == "__main__":
    main()
