"""Containers as lessons use them: an image from scratch, exit codes, logs, volumes, users; and nothing left."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import psutil
import pytest

from roadmap_progress.errors import ServerFailed, ServerUnavailable
from roadmap_progress.processes import run, wait_until
from roadmap_progress.servers import container_engine, containers

pytestmark = pytest.mark.server

CONTAINERFILE = """FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
CMD ["/bin/sh", "-c", "echo hello from $(hostname)"]
"""


@pytest.fixture(autouse=True)
def there(missing):
    """Containers can be made; in CI they have to be."""
    try:
        container_engine.locate()
        containers._busybox()
    except ServerUnavailable as error:
        missing(str(error))


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    """A folder to build an image from."""
    folder = tmp_path_factory.mktemp("image")
    shutil.copy(containers._busybox(), folder / "busybox")
    (folder / "Containerfile").write_text(CONTAINERFILE)
    return folder


@pytest.fixture(scope="module")
def engine(context):
    """An engine with an image called shell."""
    with container_engine() as one:
        built = one.podman("build", "--tag", "shell", context)
        assert built.ok, built.stderr
        yield one


def test_an_image_from_scratch_runs_and_its_exit_code_and_words_come_back(engine):
    told = engine.podman("run", "--rm", "--hostname=box", "shell")
    assert (told.returncode, told.stdout) == (0, "hello from box\n"), told.stderr
    told = engine.podman("run", "--rm", "shell", "sh", "-c", "echo oops >&2; exit 7")
    assert (told.returncode, told.stderr) == (7, "oops\n")
    assert told.seconds < 15  # Podman waits for 20 s where it cannot hear that a container has ended


def test_a_container_has_a_file_system_and_processes_of_its_own(engine, context):
    inside = engine.podman("run", "--rm", "shell", "sh", "-c", "ls /; ps -o pid,args").stdout
    assert "sh -c" in inside
    assert "conmon" not in inside
    assert str(context) not in inside
    assert engine.podman("run", "--rm", "shell", "ls", context).returncode != 0


def test_a_container_in_the_background_has_logs_and_takes_commands_until_it_is_stopped(engine):
    name = engine.podman("run", "--detach", "--name=worker", "shell", "sh", "-c", "echo ready; sleep 600")
    assert name.ok, name.stderr
    try:
        assert wait_until(lambda: engine.podman("logs", "worker").stdout == "ready\n", timeout_s=30)
        assert "sleep 600" in engine.podman("exec", "worker", "ps").stdout
        listed = json.loads(engine.podman("ps", "--format=json").stdout)
        assert [one["Names"] for one in listed] == [["worker"]]
    finally:
        assert engine.podman("rm", "--force", "--time=0", "worker").ok
    assert engine.podman("ps", "--all", "--quiet").stdout == ""


def test_what_is_written_is_gone_with_the_container_unless_it_is_on_a_volume(engine):
    write = "echo kept > /data/note; echo lost > /note"
    assert engine.podman("run", "--rm", "--volume=notes:/data", "shell", "sh", "-c", write).ok
    assert engine.podman("run", "--rm", "--volume=notes:/data", "shell", "cat", "/data/note").stdout == "kept\n"
    assert not engine.podman("run", "--rm", "shell", "cat", "/note").ok


def test_a_container_without_a_network_reaches_nothing_one_with_the_machines_does(engine):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        reach = ["shell", "sh", "-c", f"nc -w 5 127.0.0.1 {port} </dev/null"]
        answer = threading.Thread(target=lambda: listener.accept()[0].close())  # noqa: PLW0108 (it waits)
        answer.start()
        assert engine.podman("run", "--rm", *reach).ok
        answer.join()
        assert not engine.podman("run", "--rm", "--network=none", *reach).ok


def test_two_containers_share_a_network_that_the_machine_is_not_in(engine):
    serve = ["sh", "-c", "echo pong | nc -l -p 8000"]
    assert engine.podman("run", "--detach", "--name=server", "--network=none", "shell", *serve).ok
    try:
        ask = ["run", "--rm", "--network=container:server", "shell", "sh", "-c", "nc 127.0.0.1 8000 </dev/null"]
        assert wait_until(lambda: engine.podman(*ask).stdout == "pong\n", timeout_s=30)
    finally:
        engine.podman("rm", "--force", "--time=0", "server")


def test_an_image_can_have_a_user_who_is_not_root_where_there_are_users_to_give_away(engine, context, tmp_path):
    shutil.copy(context / "busybox", tmp_path / "busybox")
    more = "COPY --chown=1000:1000 busybox /app/busybox\nUSER 1000:1000\n"
    (tmp_path / "Containerfile").write_text(CONTAINERFILE + more)
    built = engine.podman("build", "--tag", "plain", tmp_path)
    if engine.users == 1:
        assert "one user" in engine.description
        assert "owner of" in built.stderr
        return
    assert built.ok, built.stderr
    told = engine.podman("run", "--rm", "plain", "sh", "-c", "id -u; stat -c %u /app/busybox; touch /x")
    assert told.stdout == "1000\n1000\n"
    assert "Permission denied" in told.stderr


def test_the_executable_serves_a_shell_in_any_folder(engine, context):
    told = run(
        ["sh", "-c", f"{engine.executable} build --quiet --tag again . && {engine.executable} images"],
        cwd=context,
        timeout_s=120,
    )
    assert told.ok, told.stderr
    assert "localhost/again" in told.stdout


def test_a_build_that_fails_says_which_step(engine, tmp_path):
    (tmp_path / "Containerfile").write_text("FROM scratch\nCOPY nowhere /\n")
    told = engine.podman("build", tmp_path)
    assert not told.ok
    assert "COPY nowhere /" in told.stderr + told.stdout


def test_two_engines_do_not_see_each_other_nor_the_users_own(engine):
    with container_engine() as other:
        assert other.podman("images", "--quiet").stdout == ""
    assert engine.podman("images", "--quiet").stdout != ""


def test_a_system_that_lets_nobody_make_namespaces_is_told_with_its_reason(tmp_path, monkeypatch):
    room = tmp_path / "room.py"
    room.write_text("import sys; print('Operation not permitted', file=sys.stderr); sys.exit(3)")
    monkeypatch.setattr(containers, "ROOM", room)
    monkeypatch.setattr(containers, "_read", lambda file: "1" if "apparmor" in file else "")
    with pytest.raises(
        ServerUnavailable, match=r"(?s)no containers: Operation not permitted.*sysctl -w kernel\.apparm"
    ):
        container_engine.start()


def test_what_podman_needs_and_is_not_there_is_named(monkeypatch):
    real = containers._which
    monkeypatch.setattr(
        containers, "_which", lambda program: None if program in ("runc", "crun") else real(program)
    )
    with pytest.raises(
        ServerUnavailable, match=r"(?s)there is no runc and no crun.*apt-get install -y podman runc"
    ):
        container_engine.locate()


def test_a_temporary_folder_with_too_long_a_name_is_told(tmp_path, monkeypatch):
    deep = tmp_path / "a-long-name-for-a-folder"
    deep.mkdir()
    monkeypatch.setattr(containers, "PLACES", ())
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    with pytest.raises(ServerFailed, match="set TMPDIR to a folder nearer to /"):
        container_engine.start()
    assert list(deep.iterdir()) == []


def control_groups() -> set[str]:
    """Every control group of the machine."""
    return {folder for folder, _, _ in os.walk("/sys/fs/cgroup")}


def stores() -> list[int]:
    """When the folders were last changed that Podman uses when nobody tells it otherwise."""
    home = Path.home()
    places = ["/run/libpod", "/run/containers", "/var/lib/containers/storage", f"/run/user/{os.geteuid()}/libpod"]
    changed = []
    for place in [*places, home / ".local/share/containers", home / ".config/containers"]:
        with contextlib.suppress(OSError):
            changed.append(Path(place).stat().st_mtime_ns)
    return changed


def mounts(folder: Path) -> list[str]:
    """What is mounted below a folder, as this process sees it."""
    return [line for line in Path("/proc/self/mounts").read_text().splitlines() if str(folder) in line]


OWNER = """
import sys, time
from roadmap_progress.servers import container_engine
engine = container_engine.start()
built = engine.podman("build", "--tag", "shell", sys.argv[1])
assert built.ok, built.stderr
for _ in range(2):
    begun = engine.podman("run", "--detach", "--volume=notes:/data", "--user=0", "shell", "sleep", "6543")
    assert begun.ok, begun.stderr
print("ready", flush=True)
{ending}
"""


@pytest.mark.parametrize("ending", ["killed", "interrupted in a run", "by itself"])
def test_nothing_is_left_when_its_owner_ends(context, ending):
    code = {
        "killed": "time.sleep(600)",
        "interrupted in a run": "sys.stderr.close(); engine.podman('run', 'shell', 'sleep', '6543')",
        "by itself": "engine.stop()",
    }[ending]
    groups = control_groups()
    before = stores()
    with (
        tempfile.TemporaryDirectory(prefix="c-") as folder,
        subprocess.Popen(
            [sys.executable, "-c", OWNER.format(ending=code), str(context)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": folder},
        ) as owner,
    ):
        assert owner.stdout.readline().startswith("container_engine: ")
        family = []
        if ending == "by itself":
            assert owner.stdout.read() == "ready\n"
        else:
            assert owner.stdout.readline() == "ready\n"
            family = psutil.Process(owner.pid).children(recursive=True)
            assert sum(process.name() == "conmon" for process in family) >= 2
            assert sum("6543" in process.cmdline() for process in family) >= 2
            owner.send_signal(signal.SIGKILL if ending == "killed" else signal.SIGINT)
        owner.wait(60)
        _, alive = psutil.wait_procs(family, timeout=60)
        assert not alive
        assert wait_until(lambda: not list(Path(folder).iterdir()), timeout_s=30)
        assert mounts(Path(folder)) == []
        assert stores() == before
    assert not [one for one in control_groups() - groups if "libpod" in one or "podman" in one]
    left = [process.info["cmdline"] for process in psutil.process_iter(["cmdline"])]
    assert not [words for words in left if words and folder in " ".join(words)]
