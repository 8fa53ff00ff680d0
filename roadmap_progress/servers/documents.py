"""MongoDB, or what stands in for it: a document store of one's own, a replica set of one.

::

    mongo = mongodb.start()
    with pymongo.MongoClient(mongo.url) as client:
        client.bookshop.books.insert_one({"title": "Middlemarch"})

A `mongod` is taken where there is one. Neither Debian nor PyPI has it, so most machines get SecantusDB, a young
server that speaks MongoDB's protocol over WiredTiger, MongoDB's own storage engine: documents, indexes,
aggregation, transactions and change streams work as in MongoDB; text search (`$text`) does not. Its description
says which it is.

`ROADMAP_MONGODB_URL` names a server that somebody else runs; then that one is used, and stays as it is.
"""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from roadmap_progress.errors import ServerFailed, ServerUnavailable
from roadmap_progress.processes import StopLimits, run, wait_until
from roadmap_progress.servers import _memory
from roadmap_progress.servers._found import Found, Install, Source, find_library, find_program
from roadmap_progress.servers._kind import ServerKind, starting
from roadmap_progress.servers._ports import PortServer, answers

if TYPE_CHECKING:
    from pathlib import Path

    import pymongo

INSTALL = Install(conda="mongodb", brew="mongodb/brew/mongodb-community", pip="secantusdb")
VARIABLE = "ROADMAP_MONGODB"  # the path of a `mongod`
URL_VARIABLE = "ROADMAP_MONGODB_URL"
OLDEST = (5, 0)
NAME = "mongodb"
REPLICA_SET = "lesson"
TIMEOUT_S = 40.0
LIMITS = StopLimits(ask_s=5.0, terminate_s=2.0, kill_s=2.0)


class MongoDB(PortServer):
    """A document store that was started here.

    Attributes:
        host: 127.0.0.1.
        port: where it listens.
    """

    name = NAME

    def __init__(self, *, timeout_s: float) -> None:
        found = _implementation()
        with starting(NAME, parent=_memory.in_memory()) as watchdog:
            super().__init__(watchdog, found, timeout_s=timeout_s)
            (watchdog.directory / "data").mkdir()
            self._start()
            if found.path:  # SecantusDB is a replica set of one by itself
                self._initiate()

    @property
    def url(self) -> str:
        """For clients; they talk to this server alone."""
        return f"mongodb://{self.host}:{self.port}/?directConnection=true"

    def client(self, **options: Any) -> pymongo.MongoClient[dict[str, Any]]:
        """A client; options are those of `pymongo.MongoClient`. Close it, or use it in a `with`."""
        import pymongo

        return pymongo.MongoClient(self.url, **options)

    def _begin(self) -> None:
        self._watchdog.start(NAME, self._command(), limits=LIMITS)
        self._watchdog.wait_ready(NAME, self._is_ours, timeout_s=self._timeout_s)

    def _command(self) -> list[str | Path]:
        data = self._watchdog.directory / "data"
        port = str(self.port)
        if self.found.path:
            replica_set = ("--bind_ip", self.host, "--port", port, "--replSet", REPLICA_SET)
            return [self.found.path, "--dbpath", data, *replica_set]
        settings = self._watchdog.directory / "settings.toml"
        settings.touch()  # so that it looks for none of the user's
        options = ("--host", self.host, "--port", port, "--cache-size", "64M", "--sync-on-commit")
        return [sys.executable, "-P", "-m", "secantus", "--config", settings, "--storage-path", data, *options]

    def _is_ours(self) -> bool:
        """Whether what answers on the port is the process that was started."""
        from pymongo.errors import PyMongoError

        if not answers(self.port):  # sooner told than by a client
            return False
        try:
            with self.client(serverSelectionTimeoutMS=1000) as client:
                return bool(client.admin.command("serverStatus")["pid"] == self.pid)
        except PyMongoError:
            return False

    def _initiate(self) -> None:
        """Make a `mongod` a replica set of one, without which it has neither transactions nor change streams."""
        members = [{"_id": 0, "host": f"{self.host}:{self.port}"}]
        with self.client() as client:
            client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": members})
            if not wait_until(
                lambda: bool(client.admin.command("hello")["isWritablePrimary"]), timeout_s=self._timeout_s
            ):
                raise ServerFailed(f"mongod was no primary within {self._timeout_s:g} s:\n{self.log()}")


class MongoDBElsewhere:
    """A server that somebody else runs, named in the environment."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.found = locate()

    @property
    def description(self) -> str:
        """Which version, and where it listens."""
        return f"{self.found} at {urlsplit(self.url).netloc.rpartition('@')[2]}"

    def client(self, **options: Any) -> pymongo.MongoClient[dict[str, Any]]:
        """A client; options are those of `pymongo.MongoClient`. Close it, or use it in a `with`."""
        import pymongo

        return pymongo.MongoClient(self.url, **options)

    def stop(self) -> None:
        """Nothing: it is not ours to stop."""


def locate() -> Found:
    """The server that would be taken.

    Raises:
        ServerUnavailable: there is none, or the one named in the environment does not answer.
    """
    url = os.environ.get(URL_VARIABLE)
    if not url:
        return _implementation()
    import pymongo
    from pymongo.errors import PyMongoError

    try:
        client: pymongo.MongoClient[dict[str, Any]]
        with pymongo.MongoClient(url, serverSelectionTimeoutMS=10_000) as client:
            told = client.admin.command("buildInfo")
    except PyMongoError as error:
        reasons = [f"{URL_VARIABLE} names a server that cannot be used: {error}"]
        raise INSTALL.unavailable("MongoDB", reasons) from error
    return Found("MongoDB", str(told["version"]), Source.ENVIRONMENT)


def _implementation() -> Found:
    try:
        return find_program(
            "mongod",
            variable=VARIABLE,
            version_of=_version,
            at_least=OLDEST,
            wheel=lambda: None,
            install=INSTALL,
        )
    except ServerUnavailable:
        if VARIABLE in os.environ:
            raise
        return find_library("secantus", "secantusdb", INSTALL)


def _version(binary: Path) -> str | None:
    try:
        told = run([binary, "--version"], timeout_s=10.0)
    except OSError:
        return None
    match = re.search(r"db version v(\d+(?:\.\d+)+)", told.stdout)
    return match[1] if match and told.ok else None


def _open(*, timeout_s: float = TIMEOUT_S) -> MongoDB | MongoDBElsewhere:
    """Start an empty document store.

    Args:
        timeout_s: it answers by then.

    Raises:
        ServerUnavailable: there is neither mongod nor SecantusDB.
        ServerFailed: it did not come up in time.
    """
    if url := os.environ.get(URL_VARIABLE):
        return MongoDBElsewhere(url)
    return MongoDB(timeout_s=timeout_s)


mongodb = ServerKind(
    "mongodb",
    _open,
    locate,
    INSTALL,
    "MongoDB, or SecantusDB, which speaks its protocol",
    "a young server on MongoDB's storage engine that stands in for MongoDB: it has no text search ($text); "
    f"a `mongod` on PATH is taken before it, and {URL_VARIABLE} names a real one",
)
