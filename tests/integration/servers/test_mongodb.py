"""A document store as lessons use it: aggregation, indexes, transactions, change streams; nothing left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pymongo
import pytest
from pymongo.errors import DuplicateKeyError

from roadmap_progress.errors import ServerUnavailable
from roadmap_progress.processes import wait_until
from roadmap_progress.servers import _memory, documents, mongodb

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def server():
    """A running server: a mongod where there is one, else the stand-in, which requirements/test.txt has."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(documents.URL_VARIABLE, raising=False)
        patch.delenv(documents.VARIABLE, raising=False)
        with mongodb() as running:
            yield running


@pytest.fixture
def shop(server):
    """An empty database."""
    with server.client() as client:
        client.drop_database("bookshop")
        yield client.bookshop


def test_it_says_what_it_is(server):
    assert server.description.startswith("mongod " if server.found.path else "secantusdb ")


def test_an_aggregation_groups_and_sorts(shop):
    shop.orders.insert_many(
        [{"book": "Emma", "copies": 2}, {"book": "Dune", "copies": 1}, {"book": "Emma", "copies": 3}]
    )
    grouped = shop.orders.aggregate(
        [{"$group": {"_id": "$book", "copies": {"$sum": "$copies"}}}, {"$sort": {"copies": -1}}]
    )
    assert list(grouped) == [{"_id": "Emma", "copies": 5}, {"_id": "Dune", "copies": 1}]


def test_a_unique_index_refuses_a_second_and_a_query_uses_it(shop):
    shop.books.create_index("isbn", unique=True)
    shop.books.insert_one({"isbn": "1"})
    with pytest.raises(DuplicateKeyError):
        shop.books.insert_one({"isbn": "1"})
    plan = json.dumps(shop.books.find({"isbn": "1"}).explain()["queryPlanner"]["winningPlan"], default=str)
    assert "IXSCAN" in plan
    assert "COLLSCAN" not in plan


def test_a_transaction_that_is_aborted_leaves_nothing(shop):
    shop.stock.insert_one({"_id": "Emma", "copies": 1})
    with shop.client.start_session() as session:
        session.start_transaction()
        shop.stock.update_one({"_id": "Emma"}, {"$inc": {"copies": -1}}, session=session)
        assert shop.stock.find_one({"_id": "Emma"})["copies"] == 1  # nobody else sees it
        session.abort_transaction()
    assert shop.stock.find_one({"_id": "Emma"})["copies"] == 1


def test_a_change_stream_tells_what_was_written(shop):
    with shop.orders.watch() as stream:
        shop.orders.insert_one({"book": "Emma"})
        change = stream.next()
    assert (change["operationType"], change["fullDocument"]["book"]) == ("insert", "Emma")


def test_what_was_written_survives_a_crash(server):
    with server.client() as client:
        client.bookshop.crash.with_options(write_concern=pymongo.WriteConcern(w=1, j=True)).insert_one({"_id": 1})
    server.kill()
    server.restart()
    with server.client() as client:
        assert client.bookshop.crash.find_one() == {"_id": 1}


def test_one_in_the_environment_is_used_and_left_running(server, monkeypatch):
    monkeypatch.setenv(documents.URL_VARIABLE, server.url)
    with mongodb() as same, same.client() as client:
        assert client.admin.command("ping")["ok"] == 1
        assert "named in the environment" in same.description
    with server.client() as client:
        assert client.admin.command("ping")["ok"] == 1


def test_a_mongod_that_is_named_and_not_there_is_said(monkeypatch, tmp_path):
    monkeypatch.delenv(documents.URL_VARIABLE, raising=False)
    monkeypatch.setenv(documents.VARIABLE, str(tmp_path / "mongod"))
    with pytest.raises(ServerUnavailable, match="cannot be executed"):
        mongodb.start()


OWNER = """
import time
from roadmap_progress.servers import mongodb
mongo = mongodb.start()
print(mongo.pid, flush=True)
time.sleep(600)
"""


def test_nothing_is_left_of_it_when_its_owner_is_killed(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", OWNER],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    ) as owner:
        assert owner.stdout.readline().startswith("mongodb: ")
        pid = int(owner.stdout.readline())
        family = psutil.Process(owner.pid).children(recursive=True)
        assert pid in {process.pid for process in family}
        owner.kill()
    _, alive = psutil.wait_procs(family, timeout=30)
    assert not alive
    assert wait_until(lambda: not list(Path(tmp_path).iterdir()), timeout_s=30)


def test_nothing_is_left_of_one_in_memory_when_its_owner_is_killed(monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", None)
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.delenv(name, raising=False)
    if _memory.in_memory() is None:
        pytest.skip("this machine has no gigabyte to spare in /dev/shm")
    with subprocess.Popen(
        [sys.executable, "-c", OWNER], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as owner:
        assert owner.stdout.readline().startswith("mongodb: ")
        store = psutil.Process(int(owner.stdout.readline()))
        folders = {
            parent
            for file in store.open_files()
            for parent in Path(file.path).parents
            if parent.parent == _memory.MEMORY
        }
        assert {folder.name[:16] for folder in folders} == {"roadmap-mongodb-"}
        owner.kill()
    assert wait_until(lambda: not any(folder.exists() for folder in folders), timeout_s=30)
