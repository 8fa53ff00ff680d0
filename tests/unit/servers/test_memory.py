"""When a server's directory is in memory, and what is removed there."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from roadmap_progress.processes import Watchdog, wait_until
from roadmap_progress.servers import _memory


@pytest.fixture
def roomy_memory(monkeypatch, tmp_path):
    """A machine with memory to spare, where nobody has chosen a folder for temporary files."""
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("tempfile.tempdir", "/tmp")
    monkeypatch.setattr(_memory, "MEMORY", tmp_path)
    monkeypatch.setattr(_memory, "ROOM_BYTES", 4096)
    monkeypatch.setattr(_memory, "_free_memory", lambda: [10**9])
    return tmp_path


def test_a_server_is_in_memory_where_there_is_room(roomy_memory):
    assert _memory.in_memory() == roomy_memory
    assert not list(roomy_memory.iterdir())


@pytest.mark.parametrize("name", ["TMPDIR", "TEMP", "TMP"])
def test_a_chosen_folder_for_temporary_files_is_respected(roomy_memory, monkeypatch, name):
    monkeypatch.setenv(name, "/tmp")
    assert _memory.in_memory() is None


def test_it_is_on_disk_where_memory_is_scarce_or_cannot_be_written(roomy_memory, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(_memory, "_free_memory", lambda: [10**9, 4095])  # the container's limit
        assert _memory.in_memory() is None
    with monkeypatch.context() as patch:
        patch.setattr(_memory, "ROOM_BYTES", 10**18)
        patch.setattr(_memory, "_free_memory", lambda: [10**18])  # but the file system is smaller
        assert _memory.in_memory() is None
    monkeypatch.setattr(_memory, "MEMORY", roomy_memory / "none")  # macOS
    assert _memory.in_memory() is None


def test_what_a_killed_watchdog_left_in_memory_is_removed_and_nothing_else(roomy_memory):
    def left(name: str, *, age_s: float = 1000.0, pid: int | None = None):
        folder = roomy_memory / name
        (folder / "server" / "data").mkdir(parents=True)
        if pid:
            (folder / "server" / "data" / "postmaster.pid").write_text(f"{pid}\n/data\n")
        os.utime(folder, (time.time() - age_s,) * 2)
        return folder

    ended = Watchdog("postgresql", parent=roomy_memory)
    pid = ended.start("short", ["true"]).pid
    assert wait_until(lambda: not ended.is_running("short"), timeout_s=30)
    ended.close()
    stale, crashed = left("roadmap-postgresql-1"), left("roadmap-postgresql-2", pid=pid)
    documents = left("roadmap-mongodb-1")
    kept = [
        left("roadmap-postgresql-new", age_s=0),
        left("roadmap-postgresql-running", pid=os.getpid()),
        left("somebody-elses"),
    ]
    watchdog = Watchdog("postgresql", parent=roomy_memory)
    os.utime(watchdog.directory, (0, 0))
    assert _memory.in_memory()
    assert not stale.exists()
    assert not crashed.exists()
    assert not documents.exists()
    assert all(folder.exists() for folder in [*kept, watchdog.directory])
    watchdog.close()
    assert not watchdog.directory.exists()


HOLDS = """
import fcntl, sys
held = open(sys.argv[1], "w")
fcntl.lockf(held, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


def test_the_directory_of_a_document_store_that_outlived_its_watchdog_is_left_alone(roomy_memory):
    folder = roomy_memory / "roadmap-mongodb-1"
    (folder / "data").mkdir(parents=True)
    os.utime(folder, (0, 0))
    command = [sys.executable, "-c", HOLDS, str(folder / "data" / "WiredTiger.lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as store:
        assert store.stdout.readline() == "held\n"
        assert _memory.in_memory()
        assert folder.exists()
        store.stdin.close()
        store.wait(30)
    assert _memory.in_memory()
    assert not folder.exists()


@pytest.mark.parametrize(("limit", "expected"), [("max\n", 1), ("3000000\n", 2)])
def test_a_containers_limit_counts(monkeypatch, tmp_path, limit, expected):
    (tmp_path / "memory.max").write_text(limit)
    (tmp_path / "memory.current").write_text("1000000\n")
    monkeypatch.setattr(_memory, "CONTROL_GROUPS", [(str(tmp_path), "memory.max", "memory.current")])
    found = _memory._free_memory()
    assert len(found) == expected
    assert found[1:] == [2_000_000][: expected - 1]
