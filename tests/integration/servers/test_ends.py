"""Servers of later sections end with their owner, whatever ends it; a start that is cut short leaves nothing."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from roadmap_progress import servers
from roadmap_progress.errors import ServerFailed, ServerUnavailable
from roadmap_progress.processes import wait_until

pytestmark = pytest.mark.server

KINDS = ["openid_provider", "prometheus", "browser", "container_engine"]


@pytest.fixture(params=KINDS)
def kind(request, missing):
    """A kind that there is on this machine; in CI all of them have to be."""
    try:
        getattr(servers, request.param).locate()
    except ServerUnavailable as error:
        missing(str(error))
    return request.param


@pytest.fixture
def short():
    """A folder with a short name, for sockets in it."""
    with tempfile.TemporaryDirectory(prefix="e-") as folder:
        yield Path(folder)


def owner(code: str, folder: Path) -> subprocess.Popen[str]:
    """A process that runs this code with its temporary files in the folder."""
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "TMPDIR": str(folder)},
        start_new_session=True,
    )


def ports_of(family: list[psutil.Process]) -> set[int]:
    """What these processes listen on."""
    return {
        one.laddr.port for process in family for one in process.net_connections("inet") if one.status == "LISTEN"
    }


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_is_left_when_the_owner_is_ended_by_a_signal(kind, number, short):
    code = f"import sys\nfrom roadmap_progress.servers import {kind}\none = {kind}.start()\nsys.stdin.read()"
    with owner(code, short) as process:
        try:
            assert process.stdout.readline().startswith(f"{kind}: ")
            family = psutil.Process(process.pid).children(recursive=True)
            ports = ports_of(family)
            assert len(family) >= 2  # the watchdog and the server
            assert ports or kind == "container_engine"
            assert list(short.iterdir())
            os.killpg(process.pid, number)
            process.wait(30)
            _, alive = psutil.wait_procs(family, timeout=60)
            assert not alive
            assert wait_until(lambda: not list(short.iterdir()), timeout_s=30)
            assert not [port for port in ports if accepts(port)]
        finally:
            process.kill()


@pytest.mark.parametrize("delay_s", [0.2, 0.6, 1.2])
def test_an_interrupt_in_the_middle_of_start_leaves_nothing_though_the_owner_lives(kind, delay_s, short):
    code = (
        "import sys\nprint('READY', flush=True)\ntry:\n"
        f"    from roadmap_progress.servers import {kind}\n    one = {kind}.start()\n"
        "    while True: sys.stdin.readline()\n"
        "except KeyboardInterrupt:\n    one = None\n    print('interrupted', flush=True)\nsys.stdin.read()"
    )
    with owner(code, short) as process:
        try:
            assert process.stdout.readline() == "READY\n"
            time.sleep(delay_s)  # any moment will do, so none is waited for
            process.send_signal(signal.SIGINT)
            lines = iter(process.stdout.readline, "")
            assert "interrupted\n" in lines  # before it comes the line of one that was ready already, or nothing
            alone = psutil.Process(process.pid)
            assert wait_until(lambda: not alone.children(recursive=True), timeout_s=30)
            assert wait_until(lambda: not list(short.iterdir()), timeout_s=30), list(short.iterdir())
        finally:
            process.kill()


def test_a_provider_that_hangs_or_dies_at_its_start_is_told_with_its_last_words(short, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(short))
    python = tmp_path / "python"
    monkeypatch.setattr(servers.openid_provider.open.__globals__["sys"], "executable", str(python))
    for text, words in (
        ("echo thinking; exec sleep 600", r"not ready within 1 s; the last lines of its log:\nthinking"),
        ("echo no memory; exit 7", r"exit code 7.*\n?.*no memory"),
    ):
        python.write_text(
            f'#!/bin/sh\ncase "$*" in *_openid_server*) {text};; esac\nexec {sys._base_executable} "$@"\n'
        )
        python.chmod(0o755)
        with pytest.raises(ServerFailed, match=words):
            servers.openid_provider.start(timeout_s=1)
    assert list(short.iterdir()) == []
