"""However its owner ends, nothing of a server is left: no process, no directory, no socket."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from roadmap_progress.processes import wait_until

pytestmark = pytest.mark.server


def test_owner_ends_by_itself(owner):
    one = owner("sys.stdin.read()")
    assert set(one.listening()) == {tuple(port) for port in one.ports}  # or counting sockets would prove nothing
    assert len(one.directories()) == 4
    one.process.stdin.close()
    assert one.process.wait(30) == 0
    assert one.is_traceless()  # at once: the end of the process waits for it


def test_owner_raises(owner):
    one = owner("sys.stderr.close(); sys.stdin.readline(); 1 / 0")
    one.process.stdin.close()
    assert one.process.wait(30) == 1
    assert one.is_traceless()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_owner_is_ended_by_a_signal(owner, number):
    one = owner("sys.stderr.close(); time.sleep(600)")
    one.process.send_signal(number)
    one.process.wait(30)
    one.leaves_nothing()


def test_the_owners_whole_process_group_is_killed(owner):
    """This is how a notebook server ends a kernel."""
    one = owner()
    os.killpg(one.process.pid, signal.SIGKILL)
    one.process.wait(30)
    one.leaves_nothing()


def test_two_owners_are_killed_at_once(owner):
    one, two = owner(), owner()
    one.process.kill()
    two.process.kill()
    one.process.wait(30)
    two.process.wait(30)
    one.leaves_nothing()
    two.leaves_nothing()


def test_an_owner_with_a_forked_child_that_lives_on_is_killed(owner):
    one = owner(
        "sys.stdin.readline()\nimport os\nif os.fork() == 0:\n    os.setsid(); time.sleep(600)\ntime.sleep(600)"
    )
    one.go_on()
    assert wait_until(lambda: _new_child(one) is not None, timeout_s=30)
    forked = _new_child(one)
    try:
        one.process.kill()
        one.process.wait(30)
        one.leaves_nothing()
        assert psutil.pid_exists(forked)
    finally:
        os.kill(forked, signal.SIGKILL)


def test_an_owner_that_started_another_program_is_killed(owner):
    """A program started with subprocess inherits no end of the pipe."""
    one = owner(
        "sys.stdin.readline(); import subprocess; "
        "subprocess.Popen(['sleep', '600'], start_new_session=True); time.sleep(600)"
    )
    one.go_on()
    assert wait_until(lambda: _new_child(one) is not None, timeout_s=30)
    program = _new_child(one)
    try:
        one.process.kill()
        one.process.wait(30)
        one.leaves_nothing()
        assert psutil.pid_exists(program)
    finally:
        os.kill(program, signal.SIGKILL)


def _new_child(one) -> int | None:
    """The owner's own child that is no watchdog (nginx may still be starting processes below one)."""
    return next((c.pid for c in psutil.Process(one.process.pid).children() if c.pid not in one.descendants), None)


def _children(pid: int) -> set[int]:
    return {child.pid for child in psutil.Process(pid).children(recursive=True)}


STARTER = """
import sys, pathlib
print("READY", flush=True)
try:
    from roadmap_progress.servers import dns_hierarchy, web_server
    names = dns_hierarchy.start()
    web = web_server.start(pathlib.Path(sys.argv[1]))
except KeyboardInterrupt:
    print("interrupted", flush=True)
    {forget}
sys.stdin.read()
"""


@pytest.mark.parametrize("delay_s", [0.02, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8])
def test_an_interrupt_in_the_middle_of_start_leaves_nothing_though_the_owner_lives(
    delay_s, tmp_path, site, any_nginx
):
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    forget = "names = web = None"  # those that had been started before
    with subprocess.Popen(
        [sys.executable, "-c", STARTER.format(forget=forget), str(site)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(temporary)},
    ) as process:
        try:
            assert process.stdout.readline() == "READY\n"
            time.sleep(delay_s)  # what is tested is any moment, so no moment is waited for
            process.send_signal(signal.SIGINT)
            said = process.stdout.readline()
            while said and "interrupted" not in said and len(_children(process.pid)) < 7:
                said = process.stdout.readline()
            if "interrupted" in said:  # else it had already started everything, and ended with the signal
                assert wait_until(lambda: not _children(process.pid), timeout_s=30)
                assert list(temporary.iterdir()) == []
                assert process.poll() is None
        finally:
            process.stdin.close()
            process.wait(30)
    assert wait_until(lambda: not list(temporary.iterdir()), timeout_s=30)


def test_an_interrupt_while_a_server_hangs_in_its_start_ends_it(tmp_path, site, hanging_nginx):
    """Here the moment is certain: the server runs, and never answers."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", STARTER.format(forget="names = None"), str(site)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(temporary), "ROADMAP_NGINX": str(hanging_nginx)},
    ) as process:
        try:
            assert wait_until(lambda: any("sleep" in name for name in _names(process.pid)), timeout_s=60)
            process.send_signal(signal.SIGINT)
            while "interrupted" not in (said := process.stdout.readline()):
                assert said
            assert wait_until(lambda: not _children(process.pid), timeout_s=30)
            assert list(temporary.iterdir()) == []
            assert process.poll() is None
        finally:
            process.stdin.close()
            process.wait(30)


def _names(pid: int) -> list[str]:
    return [child.name() for child in psutil.Process(pid).children(recursive=True)]


@pytest.fixture
def hanging_nginx(tmp_path):
    """A program that tells nginx's version, and otherwise never does anything."""
    path = tmp_path / "hanging-nginx"
    path.write_text(
        '#!/bin/sh\n[ "$1" = -v ] && { echo "nginx version: nginx/1.99.0" >&2; exit 0; }\nexec sleep 600\n'
    )
    path.chmod(0o755)
    return path
