"""A container engine of one's own: Podman, with its images, containers and volumes in a temporary directory.

::

    engine = container_engine.start()
    shutil.copy(engine.busybox, folder / "busybox")
    engine.podman("build", "--tag", "hello", folder)        # a Containerfile that begins FROM scratch
    engine.podman("run", "--rm", "hello").stdout
    engine.podman("ps", "--all").returncode
    engine.executable                                       # for a shell: `{engine.executable} images`

It runs in namespaces of its own (`_container_room.py`): nothing of the user's own containers is seen or touched,
and the kernel ends every container with the engine. Containers share the machine's network, unless they are given
`--network=none`, or one another's with `--network=container:<name>`; it makes no bridges, which would have to be
made on the machine itself. Nor does it limit memory or processor time: that takes control groups, which outlive
what was in them.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from roadmap_progress.errors import ServerFailed
from roadmap_progress.processes import Completed, StopLimits, run
from roadmap_progress.servers._found import SERVER_FOLDERS, Found, Install, find_program
from roadmap_progress.servers._kind import Server, ServerKind, starting

if TYPE_CHECKING:
    from collections.abc import Mapping

INSTALL = Install(apt="podman runc uidmap busybox-static", conda="podman")
VARIABLE = "ROADMAP_PODMAN"  # the path of a `podman`
OLDEST = (4, 0)
NAME = "podman"
# In its room, the engine's folder takes the place of one of these: of root's own containers, to which Podman
# writes a cache whatever its settings say, or of one that no container needs. That name is short, too.
PLACES = (Path("/var/lib/containers"), Path("/var/cache"))
ROOM = Path(__file__).with_name("_container_room.py")
LONGEST = 50  # Podman checks it, but says so only where nobody is told
RUNTIMES = ("runc", "crun")
TIMEOUT_S = 30.0
COMMAND_S = 300.0
LIMITS = StopLimits(ask_s=10.0, terminate_s=1.0, kill_s=2.0)  # ask: it removes what was stored

CONTAINERS_CONF = """[containers]
default_ulimits = ["nofile=1024:1024", "nproc=2048:2048"]
log_driver = "k8s-file"
cgroupns = "host"
netns = "host"
[network]
network_backend = "netavark"
network_config_dir = {networks}
[engine]
cgroup_manager = "cgroupfs"
runtime = {runtime}
events_logger = "file"
lock_type = "file"
tmp_dir = {tmp}
"""
STORAGE_CONF = """[storage]
driver = "vfs"
graphroot = {storage}
rootless_storage_path = {storage}
runroot = {run}
"""


class ContainerEngine(Server):
    """A Podman that was set up here.

    Attributes:
        users: how many of them its containers can tell apart.
    """

    def __init__(self, *, timeout_s: float) -> None:
        found = locate()
        with starting(NAME) as watchdog:
            super().__init__(watchdog, found, str(watchdog.directory))
            folder = watchdog.directory
            place = next(filter(Path.is_dir, PLACES), None)
            inside = place or folder
            if len(os.fsencode(inside / "run" / "containers")) > LONGEST:
                raise ServerFailed(f"{folder} is too long a name for {NAME}: set TMPDIR to a folder nearer to /")
            self._write(folder, inside)
            watchdog.start("room", [sys.executable, "-I", "-S", ROOM, folder, place or ""], limits=LIMITS)
            watchdog.wait_ready("room", (folder / "room").exists, timeout_s=timeout_s)
            room = (folder / "room").read_text(encoding="ascii")
            lines = Path(f"/proc/{room}/uid_map").read_text(encoding="ascii").splitlines()
            self.users = sum(int(line.split()[2]) for line in lines)
            enter = ["nsenter", f"--target={room}", "--user", "--mount", "--pid", "--preserve-credentials", "--"]
            _script(self.executable, f'exec {shlex.join(enter)} {shlex.quote(str(inside / "inside"))} "$PWD" "$@"')

    @property
    def executable(self) -> str:
        """A `podman` for shells and other programs, which works on this engine."""
        return str(self._watchdog.directory / "podman")

    @property
    def busybox(self) -> Path:
        """A program without libraries that is a shell and a few hundred commands: all that a small image needs.

        Raises:
            ServerUnavailable: none is installed that does without libraries.
        """
        return _busybox()

    @property
    def description(self) -> str:
        """Which Podman it is, and where it keeps everything."""
        who = "as root" if os.geteuid() == 0 else "rootless"
        more = "" if self.users > 1 else ", with one user, root: for more, /etc/subuid has to grant some to you"
        return f"{self.found}, {who}, in {self._address}{more}"

    def podman(
        self,
        *arguments: str | os.PathLike[str],
        stdin: str = "",
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        timeout_s: float = COMMAND_S,
    ) -> Completed:
        """Run a command of Podman's to its end.

        Args:
            arguments: as after `podman`.
            stdin: what it can read.
            cwd: where to run it.
            env: its environment; this process's if not given.
            timeout_s: after that it is ended.

        Returns:
            what it printed, and its exit code: of `run`, the container's.
        """
        return run([self.executable, *arguments], stdin=stdin, cwd=cwd, env=env, timeout_s=timeout_s)

    def _write(self, folder: Path, inside: Path) -> None:
        """Write its settings; in them the folder has the name that it has inside of the room."""
        for name in ("home", "run", "tmp", "networks"):
            (folder / name).mkdir(mode=0o700)
        runtime = _runtime()
        assert runtime is not None  # noqa: S101 (locate has seen to it)
        places = {name: json.dumps(str(inside / name)) for name in ("storage", "run", "tmp", "networks")}
        settings = {
            "containers.conf": CONTAINERS_CONF.format(runtime=json.dumps(Path(runtime).name), **places),
            "storage.conf": STORAGE_CONF.format(**places),
            "registries.conf": "unqualified-search-registries = []\n",  # a name without an address is one of ours
        }
        for name, text in settings.items():
            (folder / name).write_text(text, encoding="utf-8")
        policy = folder / "home" / ".config" / "containers" / "policy.json"
        policy.parent.mkdir(parents=True)
        policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}', encoding="utf-8")
        uid, gid = os.geteuid(), os.getegid()
        variables = {
            "HOME": str(inside / "home"),
            "TMPDIR": str(inside / "tmp"),
            "XDG_RUNTIME_DIR": str(inside / "run"),
            "XDG_CONFIG_HOME": str(inside / "home" / ".config"),
            "XDG_DATA_HOME": str(inside / "home" / "data"),
            "CONTAINERS_CONF": str(inside / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(inside / "storage.conf"),
            "CONTAINERS_REGISTRIES_CONF": str(inside / "registries.conf"),
            # How Podman tells itself that it is in a user namespace already, and whose.
            "_CONTAINERS_USERNS_CONFIGURED": "done",
            "_CONTAINERS_ROOTLESS_UID": str(uid),
            "_CONTAINERS_ROOTLESS_GID": str(gid),
        }
        exports = "\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items())
        program = shlex.quote(str(self.found.path))
        search = shlex.quote(os.pathsep.join(SERVER_FOLDERS))
        _script(
            str(folder / "inside"),
            f'{exports}\nexport PATH="$PATH":{search}\nunset CONTAINER_HOST CONTAINER_CONNECTION\n'
            f'cd "$1" || exit 125\nshift\nexec {program} "$@"',
        )


def _script(path: str, text: str) -> None:
    file = Path(path)
    file.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    file.chmod(0o700)


def locate() -> Found:
    """The Podman that would be taken, once it is clear that this system lets this user run containers.

    Raises:
        ServerUnavailable: there is none, something that it needs is missing, or the system does not let this user.
    """
    if sys.platform != "linux":
        raise INSTALL.unavailable(NAME, ["containers are made by Linux; elsewhere they need a virtual machine"])
    found = find_program(
        NAME,
        variable=VARIABLE,
        version_of=_version,
        at_least=OLDEST,
        wheel=lambda: None,
        install=INSTALL,
    )
    reasons = [f"there is no {program}" for program in ("conmon", "nsenter") if not _which(program)]
    reasons += [] if _runtime() else [f"there is no {' and no '.join(RUNTIMES)}"]
    reasons = reasons or _shut()
    if reasons:
        raise INSTALL.unavailable(NAME, reasons)
    return found


def _shut() -> list[str]:
    """Why this user can make no room for containers; empty where it can."""
    told = run([sys.executable, "-I", "-S", ROOM, "--probe"], timeout_s=TIMEOUT_S)
    if told.ok:
        return []
    words = told.stderr.strip().splitlines()[-1:] or [f"exit code {told.returncode}"]
    reasons = [f"this system lets this user run no containers: {words[0]}"]
    for setting, closed, opened in (
        ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
        ("kernel.unprivileged_userns_clone", "0", "1"),
        ("user.max_user_namespaces", "0", "10000"),
    ):
        if _read(f"/proc/sys/{setting.replace('.', '/')}") == closed:
            reasons.append(f"{setting} is {closed}; this changes it: sudo sysctl -w {setting}={opened}")
    return reasons


def _read(file: str) -> str:
    try:
        return Path(file).read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _which(program: str) -> str | None:
    folders = [*os.environ.get("PATH", os.defpath).split(os.pathsep), *SERVER_FOLDERS, "/usr/libexec/podman"]
    return shutil.which(program, path=os.pathsep.join(folders))


def _runtime() -> str | None:
    return next(filter(None, map(_which, RUNTIMES)), None)


def _busybox() -> Path:
    for found in filter(None, map(_which, ("busybox", "busybox.static"))):
        path = Path(found).resolve()
        with path.open("rb") as file:
            head = file.read(4096)
        if head.startswith(b"\x7fELF") and b"/ld-" not in head:  # it names no loader of libraries
            return path
    raise Install(apt="busybox-static", conda="busybox").unavailable(
        "busybox", ["no busybox on PATH does without libraries"]
    )


def _version(binary: Path) -> str | None:
    with tempfile.TemporaryDirectory() as folder:  # it makes folders even to tell its version
        own = os.environ | {"HOME": folder, "TMPDIR": folder, "XDG_RUNTIME_DIR": folder}
        try:
            told = run([binary, "--version"], env=own, timeout_s=30.0)
        except OSError:
            return None
    match = re.search(r"podman version (\d+(?:\.\d+)+)", told.stdout)
    return match[1] if match and told.ok else None


def _open(*, timeout_s: float = TIMEOUT_S) -> ContainerEngine:
    """Set up a Podman without an image in it.

    Args:
        timeout_s: its room is made by then.

    Raises:
        ServerUnavailable: there is no Podman, or this system does not let this user run containers.
        ServerFailed: the room was not made in time.
    """
    return ContainerEngine(timeout_s=timeout_s)


container_engine = ServerKind(
    "container_engine",
    _open,
    locate,
    INSTALL,
    "Podman: images, containers and volumes",
    kept=False,
)
