"""Processes run to their end within their time, and none of their group outlives them."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading

import pytest

from roadmap_progress.errors import ServerFailed
from roadmap_progress.processes import Watchdog, interrupts_deferred, is_alive, run, run_between, tail, wait_until

PYTHON = sys.executable
FORKS = pytest.mark.filterwarnings(
    "ignore:.*multi-threaded.*fork:DeprecationWarning"
)  # xdist's worker has threads


def test_run_returns_exit_code_and_both_outputs():
    told = run(
        [PYTHON, "-c", "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"], timeout_s=60
    )
    assert (told.returncode, told.stdout, told.stderr, told.timed_out, told.ok) == (
        3,
        "out\n",
        "err\n",
        False,
        False,
    )


def test_run_uses_folder_environment_and_input(tmp_path):
    code = (
        "import os, sys; print(os.getcwd())\n"
        "print(os.environ['SHOP'], len(os.environ) < 4); print(sys.stdin.read())"
    )
    told = run([PYTHON, "-I", "-c", code], cwd=tmp_path, env={"SHOP": "books"}, stdin="héllo", timeout_s=60)
    assert told.ok
    assert told.stdout.splitlines() == [str(tmp_path.resolve()), "books True", "héllo"]


def test_run_that_times_out_kills_the_whole_group_and_keeps_the_output():
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)"
    )
    told = run([PYTHON, "-c", code], timeout_s=3)
    assert told.timed_out
    assert not told.ok
    assert told.returncode == -signal.SIGKILL
    grandchild = int(told.stdout)
    assert wait_until(lambda: not is_alive(grandchild), timeout_s=10)


def test_run_does_not_wait_for_a_daemon_that_keeps_the_output_open():
    """The child leaves its group, so it lives on; it must not hold `run` up until it ends."""
    code = (
        "import subprocess, sys\n"
        "command = [sys.executable, '-c', 'import time; time.sleep(600)']\n"
        "print(subprocess.Popen(command, start_new_session=True).pid)"
    )
    told = run([PYTHON, "-c", code], timeout_s=60)
    daemon = int(told.stdout)
    try:
        assert told.ok
        assert is_alive(daemon)
    finally:
        os.kill(daemon, signal.SIGKILL)


def test_run_of_a_missing_program_says_so():
    with pytest.raises(FileNotFoundError, match="no-such-program"):
        run(["no-such-program"], timeout_s=10)


def test_run_between_connects_two_files_and_stays_in_the_group_of_who_asked(tmp_path):
    code = "import os, sys; print(sys.stdin.read(), os.getpgid(0), os.environ['SAID'], end=''); sys.exit(3)"
    with (tmp_path / "in").open("w+b") as source, (tmp_path / "out").open("w+b") as sink:
        source.write(b"order 7")
        source.seek(0)
        command = [sys.executable, "-c", code]
        assert (
            run_between(command, source=source.fileno(), sink=sink.fileno(), env={"SAID": "paid"}, cwd=tmp_path)
            == 3
        )
        sink.seek(0)
        assert sink.read().decode() == f"order 7 {os.getpgid(0)} paid"


def test_run_between_two_ends_of_a_socket():
    here, there = socket.socketpair()
    with here, there:
        here.sendall(b"order 7\n")
        here.shutdown(socket.SHUT_WR)
        assert run_between(["cat"], source=there.fileno(), sink=there.fileno(), env={"PATH": os.defpath}) == 0
        assert here.recv(100) == b"order 7\n"


def test_bytes_that_are_no_text_do_not_break_the_output():
    told = run([PYTHON, "-c", r"import sys; sys.stdout.buffer.write(b'a\xffb')"], timeout_s=60)
    assert told.stdout == "a\ufffdb"


def test_wait_until_gives_up_at_its_limit_and_says_so():
    assert wait_until(lambda: True, timeout_s=0)
    assert not wait_until(lambda: False, timeout_s=0.05)


@FORKS
def test_a_process_that_ended_but_was_not_waited_for_is_not_alive():
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    try:
        assert wait_until(lambda: not is_alive(pid), timeout_s=10)
    finally:
        os.waitpid(pid, 0)


@pytest.fixture
def interruptible():
    """Ctrl-C as Python has it: a shell's background job ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_inside_a_deferring_block_comes_after_it():
    done = []

    def block() -> None:
        with interrupts_deferred():
            signal.raise_signal(signal.SIGINT)
            done.append("the rest of the block")

    with pytest.raises(KeyboardInterrupt):
        block()
    assert done == ["the rest of the block"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_deferring_in_another_thread_does_nothing_and_does_not_fail():
    went = []

    def block() -> None:
        with interrupts_deferred():
            went.append("through")

    thread = threading.Thread(target=block)
    thread.start()
    thread.join()
    assert went == ["through"]


def test_tail_returns_the_last_lines_and_nothing_for_no_file(tmp_path):
    (tmp_path / "log").write_text("\n".join(map(str, range(100))))
    assert tail(tmp_path / "log", lines=2) == "98\n99"
    assert tail(tmp_path / "none") == ""


@pytest.fixture
def watchdog(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    watchdog = Watchdog("test")
    yield watchdog
    watchdog.close()
    assert list(tmp_path.iterdir()) == []


def _sleeper(watchdog: Watchdog, name: str, code: str = "") -> int:
    """A process that says READY and sleeps; returns its number once it has said so."""
    program = f"{code}\nimport time\nprint('READY', flush=True)\ntime.sleep(600)"
    process = watchdog.start(name, [PYTHON, "-I", "-c", program])
    watchdog.wait_ready(name, lambda: "READY" in process.log.read_text(), timeout_s=60)
    return process.pid


def test_close_ends_every_process_and_removes_the_directory(watchdog):
    pids = [_sleeper(watchdog, name) for name in ("one", "two")]
    directory = watchdog.directory
    watchdog.close()
    watchdog.close()
    assert watchdog.closed
    assert not any(map(is_alive, pids))
    assert not directory.exists()


def test_stop_ends_one_and_leaves_the_other(watchdog):
    one, two = _sleeper(watchdog, "one"), _sleeper(watchdog, "two")
    watchdog.stop("one")
    watchdog.stop("one")
    assert (watchdog.is_running("one"), watchdog.is_running("two")) == (False, True)
    assert (is_alive(one), is_alive(two)) == (False, True)


def test_a_name_can_be_started_again_after_it_was_stopped(watchdog):
    first = _sleeper(watchdog, "one")
    watchdog.stop("one")
    second = _sleeper(watchdog, "one")
    assert first != second
    assert watchdog.is_running("one")


def test_a_process_that_ignores_being_asked_is_killed(watchdog):
    pid = _sleeper(watchdog, "deaf", "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)")
    watchdog.close()
    assert not is_alive(pid)


def test_children_of_the_server_end_with_it_also_those_that_left_its_group(watchdog):
    code = (
        "import subprocess, sys, json\n"
        "command = [sys.executable, '-c', 'import time; time.sleep(600)']\n"
        "pids = [subprocess.Popen(command, start_new_session=apart).pid for apart in (False, True)]\n"
        "open('pids', 'w').write(json.dumps(pids))"
    )
    pid = _sleeper(watchdog, "parent", code)
    pids = json.loads((watchdog.directory / "pids").read_text())
    assert all(map(is_alive, pids))
    os.kill(pid, signal.SIGKILL)  # even if the server itself crashed before
    assert wait_until(lambda: not watchdog.is_running("parent"), timeout_s=10)
    watchdog.close()
    assert is_alive(pids[0]) is False
    if sys.platform == "linux":
        assert is_alive(pids[1]) is False


def test_a_directory_without_permissions_is_removed_too(watchdog):
    locked = watchdog.directory / "locked"
    locked.mkdir()
    (locked / "file").touch()
    locked.chmod(0)
    directory = watchdog.directory
    watchdog.close()
    assert not directory.exists()


def test_if_the_watchdog_itself_is_killed_close_cleans_up(watchdog):
    pid = _sleeper(watchdog, "one")
    directory = watchdog.directory
    watchdog._state.dog.kill()
    watchdog._state.dog.wait()
    assert not watchdog.is_running("one")
    with pytest.raises(ServerFailed, match="start the server again"):
        watchdog.start("two", [PYTHON])
    watchdog.close()
    assert wait_until(lambda: not is_alive(pid), timeout_s=10)
    assert not directory.exists()


def test_a_forgotten_watchdog_ends_its_processes(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    watchdog = Watchdog("test")
    pid = _sleeper(watchdog, "one")
    del watchdog
    assert not is_alive(pid)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_ends_at_once_is_reported_with_its_last_words(watchdog):
    watchdog.start("sad", [PYTHON, "-c", "import sys; print('no such zone'); sys.exit(7)"])
    with pytest.raises(ServerFailed, match=r"sad ended at once \(exit code 7\).*\nno such zone"):
        watchdog.wait_ready("sad", lambda: False, timeout_s=60)


def test_a_server_that_never_gets_ready_is_reported_with_the_limit(watchdog):
    _sleeper(watchdog, "slow")
    with pytest.raises(ServerFailed, match=r"slow was not ready within 0\.2 s; the last lines of its log:\nREADY"):
        watchdog.wait_ready("slow", lambda: False, timeout_s=0.2)


def test_a_program_that_cannot_be_executed_is_reported(watchdog):
    with pytest.raises(ServerFailed, match=r"ghost could not be started.*No such file"):
        watchdog.start("ghost", ["/no/such/program"])


def test_no_directory_can_be_made(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(ServerFailed, match=r"no temporary directory can be made in .*nowhere.*set TMPDIR"):
        Watchdog("test")


@FORKS
def test_a_forked_child_neither_ends_the_servers_nor_keeps_them_alive(watchdog):
    pid = _sleeper(watchdog, "one")
    wait_here, let_go = os.pipe()
    child = os.fork()
    if child == 0:
        watchdog.close()  # must do nothing: these are the parent's
        os.close(let_go)
        os.read(wait_here, 1)
        os._exit(0)
    try:
        os.close(wait_here)
        assert is_alive(pid)
        assert watchdog.is_running("one")
        watchdog.close()  # the child still lives, and has no end of the pipe
        assert not is_alive(pid)
    finally:
        os.close(let_go)
        os.waitpid(child, 0)
