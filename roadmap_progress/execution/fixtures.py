"""The process of a submission's servers, beside the answers' and the checks' in one private network.

It is forked from the zygote and trusted by nobody: whoever is superuser of a server may run programs as its user.
So it is shut in as the answers are, under another user, with processes and a folder of its own.
"""

from __future__ import annotations

import importlib
import os
import re
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from roadmap_progress.execution import wire
from roadmap_progress.execution.sandbox import BESIDE, PREPARED, SERVERS_UID_OFFSET, Limits, Sandbox

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable

VARIABLE = "ROADMAP_SERVERS"  # as `roadmap_progress.servers` knows it
LIMITS = Limits(memory_mb=2048, processes=512, disk_mb=1024, cpu_s=900, open_files=4096)
# A browser's page reserves more than 2 GB while it starts, and uses a tenth of it: less, and the page crashes.
BROWSER_MB = 6144
PREPARE_S = 180.0
_BROWSER = re.compile(r"\bbrowser\b")
_PACKAGE = "roadmap_progress.servers"  # a room above this one: loaded by name, as a notebook's modules are

_preparing = threading.Lock()
_prepared: dict[str, str | None] = {}


def serve(channels: dict[str, socket.socket]) -> None:
    """Keep servers for all other channels until "control" closes; that one tells what runs there."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # no handlers: what servers start cannot signal this process
    control = channels.pop("control")
    host = importlib.import_module(f"{_PACKAGE}._host").Host()
    for who, channel in channels.items():
        host.listen(who, channel)
    wire.send(control, {"ready": True})
    while True:
        message = wire.receive(control)
        host.steps[message["who"]] = message["step"]
        wire.send(control, {"done": True})


def attach(channels: dict[str, socket.socket]) -> None:
    """Have `roadmap_progress.servers` of this process use the servers' process, if there is a channel to one."""
    if "servers" in channels:
        os.environ[VARIABLE] = str(channels["servers"].detach())


def wanted(sources: Iterable[str]) -> bool:
    """Whether these cells may start servers."""
    return any(_PACKAGE in source or "import servers" in source for source in sources)


def limits_for(locked: Iterable[str]) -> Limits:
    """What the servers' process may use.

    Args:
        locked: sources of the locked cells; only they can ask for more, no answer can.
    """
    with_browser = any(_BROWSER.search(source) for source in locked if wanted([source]))
    return replace(LIMITS, memory_mb=BROWSER_MB) if with_browser else LIMITS


def prepared() -> str | None:
    """A folder with what makes servers start quickly, made if there is none yet; None if it cannot be made."""
    with _preparing:
        if "folder" not in _prepared:
            try:
                done = subprocess.run(
                    [sys.executable, "-P", "-m", f"{_PACKAGE}._prepare"],
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    text=True,
                    timeout=PREPARE_S,
                    check=False,
                )
                _prepared["folder"] = done.stdout.strip() or None
            except (OSError, subprocess.TimeoutExpired):
                _prepared["folder"] = None
        folder = _prepared["folder"]
        return folder if folder and Path(folder).is_dir() else None


def sandbox(answers: Sandbox, limits: Limits = LIMITS) -> Sandbox:
    """How the servers' process is shut in, beside answers that are shut in so."""
    return Sandbox(uid=answers.uid + SERVERS_UID_OFFSET, limits=limits, writes=True, prepared=prepared())


def environment() -> dict[str, str]:
    """What the servers' process has in its environment beside what all have; called before that is emptied.

    Variables that name a program are kept; those that name a server elsewhere are not, for it is out of reach.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if name.startswith("ROADMAP_") and Path(value).is_absolute()
    }
    return {
        **kept,
        "HOME": BESIDE,
        "TMPDIR": BESIDE,
        "XDG_CACHE_HOME": PREPARED if Path(PREPARED, "roadmap").is_dir() else f"{BESIDE}/cache",
        "ROADMAP_POSTGRESQL_ROLE": "owner",
    }
