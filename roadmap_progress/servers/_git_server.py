"""git over two sockets that its parent has bound: run as a module.

    python -m roadmap_progress.servers._git_server SETTINGS_FILE

On the first, http: each request goes to `git http-backend`, as a web server would hand it over (CGI). On the
second, git's own protocol: each connection goes to `git daemon`, as inetd would hand it over. Each http request is
written to the log before its answer is sent, so whoever has the answer finds the request there.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hmac
import json
import os
import socket
import sys
import tempfile
import threading
from email.parser import BytesParser
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import StreamRequestHandler, TCPServer, ThreadingMixIn
from typing import IO, Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

from roadmap_progress.processes import run_between

PUSH = "git-receive-pack"
BLOCK = 65536


class ThreadingWebServer(ThreadingHTTPServer):
    """A thread for each connection, on a socket that listens already."""

    daemon_threads = True

    def __init__(self, listener: socket.socket, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(listener.getsockname(), handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener


class Http(BaseHTTPRequestHandler):
    """A gateway to `git http-backend`.

    Attributes:
        settings: see `repositories.GitRemote`.
        log: a descriptor.
    """

    protocol_version = "HTTP/1.1"
    settings: ClassVar[dict[str, Any]]
    log: ClassVar[int]

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        target = urlsplit(self.path)
        with tempfile.TemporaryFile() as body, tempfile.TemporaryFile() as answer:
            try:
                self._receive(body)
            except ValueError:
                self.close_connection = True
                self._finish(HTTPStatus.BAD_REQUEST, [], answer, user="")
                return
            user = self._user()
            pushes = PUSH in (target.path.rpartition("/")[2], *parse_qs(target.query).get("service", []))
            if self.settings["users"] and not user and (pushes or self.settings["private"]):
                headers = [("WWW-Authenticate", 'Basic realm="bookshop", charset="UTF-8"')]
                self._finish(HTTPStatus.UNAUTHORIZED, headers, answer, user=user)
                return
            command = [self.settings["git"], "http-backend"]
            variables = self._variables(target.path, target.query, user, body.seek(0, os.SEEK_END))
            body.seek(0)
            code = run_between(command, source=body.fileno(), sink=answer.fileno(), env=variables)
            answer.seek(0)
            if code != 0:  # it says so itself, with a status, in all cases that it knows
                answer.truncate()
                self._finish(HTTPStatus.INTERNAL_SERVER_ERROR, [], answer, user=user)
                return
            status, headers = _head(answer)
            self._finish(status, headers, answer, user=user)

    def _receive(self, body: IO[bytes]) -> None:
        """The request's body, whole: git sends a large one in chunks, without saying how long it will be."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while size := int(self.rfile.readline(BLOCK).split(b";")[0], 16):
                self._copy(body, size)
                self.rfile.readline(BLOCK)
            while self.rfile.readline(BLOCK).strip():
                pass
        else:
            self._copy(body, int(self.headers.get("Content-Length") or 0))

    def _copy(self, body: IO[bytes], size: int) -> None:
        while size > 0:
            received = self.rfile.read(min(size, BLOCK))
            if not received:
                raise ValueError("the client went away")
            body.write(received)
            size -= len(received)

    def _user(self) -> str:
        """Who sent it; "" for nobody, or a wrong password."""
        scheme, _, encoded = self.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return ""
        try:
            name, _, password = base64.b64decode(encoded).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return ""
        expected = self.settings["users"].get(name)
        right = expected is not None and hmac.compare_digest(password.encode(), expected.encode())
        return name if right else ""

    def _variables(self, path: str, query: str, user: str, length: int) -> dict[str, str]:
        """What the Common Gateway Interface (RFC 3875) passes on, and what git asks for beside it."""
        variables = {
            **self.settings["environment"],
            "GIT_PROJECT_ROOT": self.settings["folder"],
            "GIT_HTTP_EXPORT_ALL": "1",
            "GATEWAY_INTERFACE": "CGI/1.1",
            "SERVER_PROTOCOL": self.request_version,
            "REQUEST_METHOD": self.command,
            "PATH_INFO": unquote(path),
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(length),
            "REMOTE_ADDR": str(self.client_address[0]),
        }
        if user:
            variables["REMOTE_USER"] = user
        elif not self.settings["users"]:  # a host without users: anybody may push
            variables |= {
                "GIT_CONFIG_COUNT": "1",
                "GIT_CONFIG_KEY_0": "http.receivepack",
                "GIT_CONFIG_VALUE_0": "true",
            }
        for header, variable in (("Content-Encoding", "HTTP_CONTENT_ENCODING"), ("Git-Protocol", "GIT_PROTOCOL")):
            if value := self.headers.get(header):
                variables[variable] = value
        return variables

    def _finish(self, status: int, headers: list[tuple[str, str]], answer: IO[bytes], *, user: str) -> None:
        """Send the rest of `answer` from where it stands."""
        line = json.dumps([self.command, self.path, user, int(status)])
        os.write(self.log, line.encode() + b"\n")  # one write: lines of several threads do not mix
        begin = answer.tell()
        length = answer.seek(0, os.SEEK_END) - begin
        answer.seek(begin)
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        while block := answer.read(BLOCK):
            self.wfile.write(block)

    def log_message(self, *_: Any) -> None:
        pass


def _head(answer: IO[bytes]) -> tuple[int, list[tuple[str, str]]]:
    """The status and headers that a gateway's answer begins with; what follows is the body."""
    lines = []
    while (line := answer.readline()).strip():
        lines.append(line)
    headers = BytesParser().parsebytes(b"".join(lines)).items()
    status = next((int(value.split()[0]) for name, value in headers if name.lower() == "status"), HTTPStatus.OK)
    return status, [
        (name, str(value)) for name, value in headers if name.lower() not in ("status", "content-length")
    ]


class ThreadingGitServer(ThreadingMixIn, TCPServer):
    """A thread for each connection, on a socket that listens already."""

    daemon_threads = True

    def __init__(self, listener: socket.socket, handler: type[StreamRequestHandler]) -> None:
        super().__init__(listener.getsockname(), handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener


class GitProtocol(StreamRequestHandler):
    """A connection that `git daemon` takes over.

    Attributes:
        settings: see `repositories.GitRemote`.
    """

    settings: ClassVar[dict[str, Any]]

    def handle(self) -> None:
        folder = self.settings["folder"]
        command = [self.settings["git"], "daemon", "--inetd", "--log-destination=stderr", "--informative-errors"]
        command += ["--export-all", f"--base-path={folder}"]
        if not self.settings["users"]:
            command.append("--enable=receive-pack")
        if self.settings["private"]:
            self.refuse("this host serves its users alone, and git:// knows no users; ask over http")
            return
        run_between([*command, folder], source=self.request, sink=self.request, env=self.settings["environment"])

    def refuse(self, why: str) -> None:
        """Say why, in a packet that a client prints; see git's documentation, gitprotocol-pack.

        The request is read first: a client whose connection closes while it writes dies without a word.
        """
        with contextlib.suppress(OSError, ValueError):
            self.rfile.read(max(int(self.rfile.read(4), 16) - 4, 0))
            packet = f"ERR {why}\n".encode()
            self.wfile.write(f"{len(packet) + 4:04x}".encode() + packet)


def main() -> None:
    """Take over both sockets and serve."""
    settings = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    web, daemon = (socket.socket(fileno=descriptor) for descriptor in settings["descriptors"])
    Http.settings = GitProtocol.settings = settings
    Http.log = os.open(settings["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    threading.Thread(target=ThreadingGitServer(daemon, GitProtocol).serve_forever, daemon=True).start()
    ThreadingWebServer(web, Http).serve_forever()


if __name__ == "__main__":
    main()
