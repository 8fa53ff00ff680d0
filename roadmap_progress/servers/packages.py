"""A package index of one's own: pypiserver over a folder of packages, to install from and to publish to.

::

    index = package_index.start(packages)        # wheels and sdists in this folder are on offer
    index.url                                    # "http://127.0.0.1:41233/simple/": for pip, for Poetry's source
    index.upload_url                             # for Poetry's `repositories.<name>`, for twine
    index.username, index.password               # publishing needs them, installing does not
    index.requests()                             # what clients asked for, in order

A file that is published lands in the folder; one that is there already is refused (409), as on PyPI.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import sys
from typing import TYPE_CHECKING, NamedTuple

from roadmap_progress.errors import ServerFailed
from roadmap_progress.servers._found import Found, Install, find_library
from roadmap_progress.servers._kind import Server, ServerKind, starting

if TYPE_CHECKING:
    from pathlib import Path

INSTALL = Install(pip="pypiserver")
HOST = "127.0.0.1"
NAME = "pypiserver"
TIMEOUT_S = 20.0


class Request(NamedTuple):
    """What a client asked for, and the status that it got; equal to the plain tuple of its fields."""

    method: str
    path: str
    status: int


class PackageIndex(Server):
    """A package index over a folder.

    Attributes:
        packages: the folder.
        url: the simple index (PEP 503).
        upload_url: where packages are posted to.
        username: for publishing.
        password: for publishing.
    """

    def __init__(self, packages: Path, username: str, password: str, timeout_s: float) -> None:
        found = locate()
        if not packages.is_dir():
            raise ServerFailed(f"{packages} is no folder: make it before you start a package index over it")
        self.packages = packages
        self.username, self.password = username, password
        with socket.create_server((HOST, 0)) as listener:
            self.port: int = listener.getsockname()[1]
            with starting("package-index", descriptors=[listener.fileno()]) as watchdog:
                super().__init__(watchdog, found, self.url)
                self._log = watchdog.directory / "requests.jsonl"
                settings = {
                    "packages": str(packages.resolve()),
                    "username": username,
                    "password": password,
                    "log": str(self._log),
                    "descriptor": listener.fileno(),
                }
                file = watchdog.directory / "settings.json"
                file.touch(mode=0o600)
                file.write_text(json.dumps(settings), encoding="utf-8")
                watchdog.start(
                    NAME,
                    [sys.executable, "-P", "-m", "roadmap_progress.servers._package_server", file],
                    descriptors=[listener.fileno()],
                )
                listener.close()  # from here on, a server that has ended refuses
                watchdog.wait_ready(NAME, self._answers, timeout_s=timeout_s)
                self.clear_requests()  # ours

    @property
    def url(self) -> str:
        """The simple index."""
        return f"http://{HOST}:{self.port}/simple/"

    @property
    def upload_url(self) -> str:
        """Where packages are posted to."""
        return f"http://{HOST}:{self.port}/"

    def requests(self) -> list[Request]:
        """What was asked for so far, in order; a client that has its answer finds its request here."""
        try:
            lines = self._log.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        return [Request(*json.loads(line)) for line in lines]

    def clear_requests(self) -> None:
        """Forget the requests so far."""
        with contextlib.suppress(FileNotFoundError):
            os.truncate(self._log, 0)

    def _answers(self) -> bool:
        # Patient: a question given up early would still be answered, and logged, after ours were forgotten.
        connection = http.client.HTTPConnection(HOST, self.port, timeout=10)
        try:
            connection.request("GET", "/simple/")
            return connection.getresponse().status == http.client.OK
        except http.client.HTTPException:
            return False
        finally:
            connection.close()


def locate() -> Found:
    """The library that the index is made with.

    Raises:
        ServerUnavailable: it is not installed.
    """
    return find_library("pypiserver", "pypiserver", INSTALL)


def _open(
    packages: Path,
    *,
    username: str = "bookshop",
    password: str = "for-lessons-only",  # noqa: S107 - opens nothing but a server of one's own on loopback
    timeout_s: float = TIMEOUT_S,
) -> PackageIndex:
    """Serve a folder of packages.

    Args:
        packages: the folder; what is published is written to it.
        username: who may publish.
        password: with which password.
        timeout_s: it answers by then.

    Raises:
        ServerUnavailable: pypiserver is not installed.
        ServerFailed: the folder is not there, or the index did not answer in time.
    """
    return PackageIndex(packages, username, password, timeout_s)


package_index = ServerKind(
    "package_index",
    _open,
    locate,
    INSTALL,
    "a package index to install from and to publish to",
    kept=False,
)
