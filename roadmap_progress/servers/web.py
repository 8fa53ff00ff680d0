"""A real nginx: a web server for a folder, and a cache in front of an origin.

::

    web = web_server.start(site)                        # a folder with index.html
    httpx.get(web.url + "/books.json").status_code
    web.requests()[-1]                                  # what the server saw

    edge = http_cache.start(web.url)                    # the CDN's edge
    httpx.get(edge.url + "/logo.svg").headers["X-Cache"]    # MISS, then HIT
    edge.purge("/logo.svg")

    web.command("-t", "-q")                             # nginx's own program: test the configuration …
    web.command("-s", "reload")                         # … and read it anew, with what an `include` leads to

`config` takes nginx's own directives, as inside `server { … }`::

    config = '''
    location /api/    { proxy_pass http://127.0.0.1:9; }            # nobody there: 502
    location /slow/   { proxy_pass http://127.0.0.1:8001; proxy_read_timeout 300ms; }   # 504
    location /staff/  { deny all; }                                 # 403
    location = /old   { return 301 /new; }
    location = /bug   { return 500; }
    location /assets/ { add_header Cache-Control "public, max-age=60"; }
    '''
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from roadmap_progress.servers._kind import ServerKind
from roadmap_progress.servers._nginx import HOST, INSTALL, Nginx, Request, locate, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from roadmap_progress.servers.tls import Certificate

__all__ = ["HttpCache", "Request", "WebServer", "http_cache", "web_server"]

TIMEOUT_S = 20.0


class WebServer(Nginx):
    """nginx serving a folder.

    Attributes:
        host: where it listens, "127.0.0.1".
        port: of `url`.
        url: "http://127.0.0.1:<port>", or with a certificate "https://<name>:<port>", where name is one
            that the certificate is for and that leads here ("127.0.0.1" or "localhost"), if it has one.
        http_url: the plain one. With a certificate it answers every request with 301 to `https://`.
    """

    host = HOST

    def __init__(
        self,
        site: Path | str,
        *,
        certificate: Certificate | None = None,
        config: str = "",
        hosts: Mapping[str, Path | str] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        folders = {name: Path(folder).resolve() for name, folder in {"_": site, **(hosts or {})}.items()}
        for folder in folders.values():
            if not folder.is_dir():
                raise NotADirectoryError(f"{folder} is no folder that could be served")

        def http(_: Path, ports: list[int]) -> str:
            main, *plain = ports
            tls = certificate is not None
            blocks = [
                _server(main, name, f"root {quoted(folder)};", certificate, default=name == "_")
                for name, folder in folders.items()
            ]
            if tls:
                redirect = f"return 301 https://$host:{main}$request_uri;"
                blocks.append(_server(plain[0], "_", redirect, None, default=True, extra=False))
            return "\n".join(blocks)

        super().__init__("web-server", ports=2 if certificate else 1, http=http, extra=config, timeout_s=timeout_s)
        self.port = self.ports[0]
        self.http_url = f"http://{HOST}:{self.ports[-1]}"
        self.url = f"https://{_reachable(certificate)}:{self.port}" if certificate else self.http_url
        self._address = self.url


class HttpCache(Nginx):
    """nginx as a caching reverse proxy: the edge of a content delivery network, in front of an origin.

    It keeps what the origin's Cache-Control (or Expires) lets a shared cache keep, and nothing else; asks
    again with If-None-Match when it is stale; obeys stale-while-revalidate and stale-if-error. Every response
    has `X-Cache`: MISS, HIT, EXPIRED, REVALIDATED, STALE, UPDATING or BYPASS.

    Attributes:
        host: where it listens, "127.0.0.1".
        port: of `url`.
        url: "http://127.0.0.1:<port>", or https with a certificate.
        origin_url: what it stands in front of.
    """

    host = HOST

    def __init__(
        self,
        origin_url: str,
        *,
        certificate: Certificate | None = None,
        config: str = "",
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self.origin_url = origin_url.rstrip("/")
        if not re.fullmatch(r"https?://[^\s;{}$\"'/]+", self.origin_url):
            raise ValueError(f"{origin_url!r} is no origin: write http://host:port, without a path")

        def http(directory: Path, ports: list[int]) -> str:
            body = f"""add_header X-Cache $upstream_cache_status always;
    location / {{ proxy_pass {self.origin_url}; }}"""
            return f"""  proxy_cache_path {quoted(directory / "cache")} levels=1:2 keys_zone=edge:1m max_size=64m
    inactive=60m use_temp_path=off;
  proxy_cache edge;
  proxy_cache_key $scheme://$http_host$request_uri;
  proxy_cache_revalidate on;
  proxy_cache_background_update on;
  proxy_set_header Host $http_host;
  proxy_set_header Connection "";
  proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
  proxy_set_header X-Forwarded-Proto $scheme;
{_server(ports[0], "_", body, certificate, default=True)}"""

        super().__init__("http-cache", ports=1, http=http, extra=config, timeout_s=timeout_s)
        self.port = self.ports[0]
        self.url = (
            f"https://{_reachable(certificate)}:{self.port}" if certificate else f"http://{HOST}:{self.port}"
        )
        self._address = f"{self.url}, in front of {self.origin_url}"

    def purge(self, path: str | None = None) -> int:
        """Take what is kept for this path (with its query), or everything, out of the cache.

        Returns:
            how many stored responses that were.
        """
        self._answers()  # what is being stored now, is stored
        purged = 0
        for file in (self._watchdog.directory / "cache").glob("*/*/*"):
            key = re.search(rb"\nKEY: \w+://[^/]*(/[^\n]*)\n", file.read_bytes())
            if path is None or (key and key[1] == path.encode()):
                file.unlink(missing_ok=True)  # nginx looks for the file, and takes its absence for a miss
                purged += 1
        return purged


def _server(
    port: int, name: str, body: str, certificate: Certificate | None, *, default: bool, extra: bool = True
) -> str:
    tls = ""
    if certificate is not None:
        tls = f"""
    ssl_certificate {quoted(certificate.chain)};
    ssl_certificate_key {quoted(certificate.key)};
    ssl_protocols TLSv1.2 TLSv1.3;"""
    options = (" ssl" if certificate else "") + (" default_server" if default else "")
    return f"""  server {{
    listen {HOST}:{port}{options};
    server_name {name};{tls}
    {body}
    {"include config;" if extra else ""}
  }}"""


def _reachable(certificate: Certificate | None) -> str:
    """The name for the URL: one that the certificate is for and that leads to this machine."""
    names = certificate.names if certificate else ()
    return "localhost" if "localhost" in names and HOST not in names else HOST


def _open_web_server(
    site: Path | str,
    *,
    certificate: Certificate | None = None,
    config: str = "",
    hosts: Mapping[str, Path | str] | None = None,
    timeout_s: float = TIMEOUT_S,
) -> WebServer:
    """Serve a folder.

    Args:
        site: the folder; `/` is its index.html.
        certificate: from `certificate_authority`; then `.url` is https and `.http_url` redirects to it.
        config: further directives inside `server { … }`, in nginx's own language; for every host.
        hosts: virtual hosts on the same port: the Host header's name → its own folder.
        timeout_s: it answers by then.

    Raises:
        ServerUnavailable: there is no nginx.
        ServerFailed: nginx refused `config` (its words are in the message) or did not answer in time.
    """
    return WebServer(site, certificate=certificate, config=config, hosts=hosts, timeout_s=timeout_s)


def _open_http_cache(
    origin_url: str, *, certificate: Certificate | None = None, config: str = "", timeout_s: float = TIMEOUT_S
) -> HttpCache:
    """Put a cache in front of an origin.

    Args:
        origin_url: "http://127.0.0.1:8000", as in `web.url`; an https origin's certificate is not checked
            unless `config` says so (`proxy_ssl_verify on; proxy_ssl_trusted_certificate …;`).
        certificate: then the edge itself speaks https.
        config: further directives inside `server { … }`, such as `proxy_cache_use_stale error timeout;`.
        timeout_s: it answers by then.

    Raises:
        ServerUnavailable: there is no nginx.
        ServerFailed: nginx refused `config` (its words are in the message) or did not answer in time.
    """
    return HttpCache(origin_url, certificate=certificate, config=config, timeout_s=timeout_s)


web_server = ServerKind(
    "web_server",
    _open_web_server,
    locate,
    INSTALL,
    "nginx serving a folder: HTTP, HTTPS, virtual hosts",
    kept=False,
)
http_cache = ServerKind(
    "http_cache",
    _open_http_cache,
    locate,
    INSTALL,
    "nginx as a cache in front of an origin: a CDN's edge",
    kept=False,
)
