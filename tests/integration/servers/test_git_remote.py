"""A git host: real clones and pushes over http and git://, who may push, hooks that refuse; and nothing left."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

import roadmap_progress
from roadmap_progress.errors import ServerFailed, ServerUnavailable
from roadmap_progress.processes import is_alive, wait_until
from roadmap_progress.servers import git_remote, repositories

pytestmark = pytest.mark.server

USERS = {"ada": "p w:@/é", "bo": "for-lessons-only"}
REFUSING = """#!/bin/sh
while read old new ref; do
    if [ "$ref" = refs/heads/main ] && [ "$REMOTE_USER" != ada ]; then
        echo "main is protected: $REMOTE_USER may not push to it" >&2
        exit 1
    fi
done
"""


@pytest.fixture(autouse=True)
def any_git(missing, monkeypatch):
    monkeypatch.delenv(repositories.VARIABLE, raising=False)
    try:
        repositories.locate()
    except ServerUnavailable as error:
        missing(str(error))


@pytest.fixture
def git(tmp_path):
    """A client's git, without anybody's settings: `git(*arguments, at=folder)`."""
    who = {f"GIT_{role}_{what}": "ada" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    alone = {"HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    settings = {"PATH": os.environ["PATH"], **alone, **who}

    def run(*arguments, at=tmp_path, **more):
        command = ["git", *map(str, arguments)]
        return subprocess.run(
            command, cwd=at, env=settings | more, capture_output=True, text=True, timeout=120, check=False
        )

    return run


@pytest.fixture
def clone(git, tmp_path):
    """A clone of `url` with one commit more: `clone(url, name)` → its folder."""

    def make(url, name, content=b"books\n") -> Path:
        done = git("clone", "-q", url, name)
        assert done.returncode == 0, done.stderr
        folder = tmp_path / name
        (folder / f"{name}.txt").write_bytes(content)
        for arguments in (("add", "."), ("commit", "-q", "-m", name)):
            assert git(*arguments, at=folder).returncode == 0
        return folder

    return make


def head(git, folder, ref="HEAD") -> str:
    return git("rev-parse", "--verify", "-q", ref, at=folder).stdout.strip()


@pytest.fixture
def addresses():
    """The two addresses of a repository that anybody may push to: {"http": …, "git": …}."""
    with git_remote() as host:
        host.create("shop")
        yield {"http": host.url("shop"), "git": host.git_url("shop"), "path": host.path("shop")}


@pytest.mark.parametrize("protocol", ["http", "git"])
@pytest.mark.parametrize("version", ["0", "2"])
def test_what_one_clone_pushes_another_fetches(addresses, git, clone, tmp_path, protocol, version):
    ada = clone(addresses[protocol], "ada")
    pushed = git("-c", f"protocol.version={version}", "push", "origin", "HEAD:main", at=ada)
    assert pushed.returncode == 0, pushed.stderr
    assert head(git, addresses["path"], "main") == head(git, ada)
    assert git("-c", f"protocol.version={version}", "clone", "-q", addresses[protocol], "bo").returncode == 0
    assert head(git, tmp_path / "bo") == head(git, ada)
    assert (tmp_path / "bo" / "ada.txt").read_text() == "books\n"


def test_a_large_push_comes_in_chunks_and_a_fetch_request_packed(addresses, git, clone):
    """Above http.postBuffer (1 MB) git does not say how long a request is; its haves it sends with gzip."""
    content = os.urandom(3_000_000)
    ada = clone(addresses["http"], "ada", content)
    assert git("push", "-q", "origin", "HEAD:main", at=ada).returncode == 0
    bo = clone(addresses["http"], "bo")
    assert (bo / "ada.txt").read_bytes() == content
    assert git("push", "-q", "origin", "HEAD:main", at=bo).returncode == 0
    for number in range(40):  # that the host does not know: it takes a second, longer question
        assert git("commit", "-q", "--allow-empty", "-m", str(number), at=ada).returncode == 0
    trace = git("fetch", "-q", "origin", at=ada, GIT_TRACE_CURL="1").stderr
    assert "Content-Encoding: gzip" in trace
    assert head(git, ada, "origin/main") == head(git, bo)


def test_a_push_that_is_not_a_fast_forward_is_rejected_and_changes_nothing(addresses, git, clone):
    ada, bo = clone(addresses["http"], "ada"), clone(addresses["http"], "bo")
    assert git("push", "-q", "origin", "HEAD:main", at=ada).returncode == 0
    rejected = git("push", "--porcelain", "origin", "HEAD:main", at=bo)
    assert rejected.returncode == 1
    assert "[rejected] (fetch first)" in rejected.stdout
    assert head(git, addresses["path"], "main") == head(git, ada)


def test_with_users_a_push_needs_a_password_and_the_reflog_says_who_it_was(git, clone):
    with git_remote(users=USERS) as host:
        path = host.create("shop")
        work = clone(host.url("shop"), "work")  # anybody may fetch
        for address in (
            host.url("shop"),
            host.url("shop", "bo").replace("lessons", "guessing"),
            host.git_url("shop"),
        ):
            assert git("push", address, "HEAD:main", at=work).returncode == 128
        assert head(git, path, "main") == ""
        assert git("push", host.url("shop", "ada"), "HEAD:main", at=work).returncode == 0
        assert head(git, path, "main") == head(git, work)
        assert "ada <ada@http.127.0.0.1>" in (path / "logs/refs/heads/main").read_text()
        asked = host.requests()
        info = "/shop.git/info/refs?service=git-receive-pack"
        assert asked[0] == ("GET", "/shop.git/info/refs?service=git-upload-pack", "", 200)
        assert ("GET", info, "", 401) in asked
        assert [request for request in asked if request.status == 200][-1] == (
            "POST",
            "/shop.git/git-receive-pack",
            "ada",
            200,
        )
        host.clear_requests()
        assert host.requests() == []


def status(host, method: str, path: str, body: bytes | None = None) -> int:
    """What the host answers a client that is no git."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", host.port, timeout=60)) as connection:
        connection.request(method, path, body, {"Content-Type": "application/x-git-receive-pack-request"})
        with connection.getresponse() as response:
            response.read()
            return response.status


def test_nothing_gets_past_the_question_for_a_password_or_out_of_the_folder():
    with git_remote(users=USERS) as host:
        host.create("shop")
        assert status(host, "POST", "/shop.git/git-receive-pack", b"0000") == 401
        assert status(host, "POST", "/shop.git/git%2dreceive%2dpack", b"0000") == 403  # git's own second look
        assert status(host, "GET", "/shop.git/info/refs?service=git-receive%2dpack") == 401
        for path in ("/../settings.json", "/%2e%2e/settings.json", "/shop.git/../../settings.json"):
            assert status(host, "GET", path) >= 400


def test_a_private_host_serves_its_users_alone(git):
    with git_remote(users=USERS, private=True) as host:
        host.create("shop")
        assert git("clone", "-q", host.url("shop"), "nobody").returncode == 128
        refused = git("clone", "-q", host.git_url("shop"), "daemon")
        assert refused.returncode == 128
        assert "remote error: this host serves its users alone" in refused.stderr
        assert git("clone", "-q", host.url("shop", "bo"), "bo").returncode == 0


def test_a_private_host_hangs_up_on_what_is_no_git():
    with git_remote(users=USERS, private=True) as host:
        host.create("shop")
        address = urlsplit(host.git_url("shop"))
        with socket.create_connection((address.hostname, address.port), timeout=60) as client:
            client.sendall(b"GET / HTTP/1.1\r\n\r\n")
            with contextlib.suppress(ConnectionResetError):  # what it did not read
                assert client.recv(100) == b""


def test_a_hook_on_the_host_refuses_whom_it_does_not_know(git, clone):
    with git_remote(users=USERS) as host:
        path = host.create("shop")
        host.install_hook("shop", "pre-receive", REFUSING)
        work = clone(host.url("shop"), "work")
        refused = git("push", host.url("shop", "bo"), "HEAD:main", at=work)
        assert refused.returncode == 1
        assert "remote: main is protected: bo may not push to it" in refused.stderr
        assert head(git, path, "main") == ""
        assert git("push", host.url("shop", "bo"), "HEAD:topic", at=work).returncode == 0
        assert git("push", host.url("shop", "ada"), "HEAD:main", at=work).returncode == 0
        assert head(git, path, "main") == head(git, path, "topic") == head(git, work)


def test_a_repository_can_be_told_to_refuse_what_is_forced(git, clone):
    with git_remote() as host:
        path = host.create("team/shop", config={"receive.denyNonFastForwards": "true"})
        work = clone(host.url("team/shop"), "work")
        assert git("push", "-q", "origin", "HEAD:main", at=work).returncode == 0
        before = head(git, work)
        assert git("commit", "-q", "--amend", "-m", "another", at=work).returncode == 0
        assert git("push", "--force", "origin", "HEAD:main", at=work).returncode == 1
        assert head(git, path, "main") == before
        with pytest.raises(FileExistsError, match="there is a repository 'team/shop' already"):
            host.create("team/shop")


def test_repositories_in_a_folder_of_ones_own_stay(tmp_path, git, clone):
    folder = tmp_path / "repositories"
    folder.mkdir()
    with git_remote(folder) as host:
        host.create("shop")
        work = clone(host.url("shop"), "work")
        assert git("push", "-q", "origin", "HEAD:main", at=work).returncode == 0
    with git_remote(folder) as host:
        assert host.path("shop") == folder / "shop.git"
        assert git("ls-remote", host.git_url("shop"), "main").stdout.split()[0] == head(git, work)


def test_clients_at_the_same_time_do_not_wait_for_each_other(addresses, git, clone):
    """A connection that never asks for anything holds up nobody."""
    ada = clone(addresses["http"], "ada")
    port = int(addresses["http"].split(":")[2].split("/")[0])
    with socket.create_connection(("127.0.0.1", port), timeout=60) as idle:
        idle.sendall(b"GET /shop.git/info")
        codes = []
        threads = [
            threading.Thread(
                target=lambda to=to: codes.append(git("push", "-q", "origin", f"HEAD:{to}", at=ada).returncode)
            )
            for to in ("one", "two", "three")
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert codes == [0, 0, 0]


@pytest.mark.parametrize("name", ["../shop", "/shop", "", "a//b", "-x", "a b", ".git"])
def test_a_name_that_is_none_is_told(name):
    with git_remote() as host, pytest.raises(ValueError, match="is no repository's name"):
        host.create(name)


def test_other_mistakes_are_told(tmp_path):
    with git_remote(users=USERS) as host:
        with pytest.raises(FileNotFoundError, match="there is no repository 'shop'"):
            host.install_hook("shop", "update", "#!/bin/sh\n")
        host.create("shop")
        with pytest.raises(ValueError, match="'pre-commit' is no hook of a push"):
            host.install_hook("shop", "pre-commit", "#!/bin/sh\n")
        with pytest.raises(ValueError, match="a hook is a program"):
            host.install_hook("shop", "update", "exit 1\n")
        with pytest.raises(KeyError, match="there is no user 'eve'; there are ada, bo"):
            host.url("shop", "eve")
    with pytest.raises(ServerFailed, match="is no folder: make it"):
        git_remote.start(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="a private host needs users"):
        git_remote.start(private=True)
    with pytest.raises(ValueError, match="cannot be a user's name"):
        git_remote.start(users={"a:b": "c"})


def test_stopping_leaves_no_process_and_no_directory(capsys):
    host = git_remote.start()
    assert capsys.readouterr().out == f"git_remote: {host.description}\n"
    assert host.found.version in host.description
    (process,) = host._watchdog.processes.values()
    directory = host._watchdog.directory
    host.stop()
    assert not is_alive(process.pid)
    assert not directory.exists()
    for port in (host.port, host.git_port):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=10)
    host.stop()


OWNER = """
import json, subprocess, time
from roadmap_progress.servers import git_remote
host = git_remote.start()
host.create("shop")
host.install_hook("shop", "pre-receive", "#!/bin/sh\\nexec sleep 600\\n")
print(json.dumps([host.url("shop"), host.git_url("shop")]), flush=True)
time.sleep(600)
"""


def test_nothing_is_left_of_it_when_its_owner_is_killed_in_the_middle_of_two_pushes(
    tmp_path, git, clone, addresses
):
    work = clone(addresses["http"], "work")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", OWNER],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "TMPDIR": str(temporary)},
    ) as owner:
        assert owner.stdout.readline().startswith("git_remote: ")
        urls = json.loads(owner.stdout.readline())
        pushes = [
            threading.Thread(target=git, args=("push", url, f"HEAD:{to}"), kwargs={"at": work})
            for to, url in enumerate(urls)
        ]
        for push in pushes:
            push.start()

        def hooks() -> list[psutil.Process]:
            return [one for one in psutil.Process(owner.pid).children(recursive=True) if one.name() == "sleep"]

        assert wait_until(lambda: len(hooks()) == 2, timeout_s=60)
        family = psutil.Process(owner.pid).children(recursive=True)
        owner.kill()
    _, alive = psutil.wait_procs(family, timeout=30)
    assert not alive
    assert wait_until(lambda: not list(temporary.iterdir()), timeout_s=30)
    for push in pushes:
        push.join()


@pytest.mark.skipif(os.geteuid() != 0, reason="the other tests run as a plain user already")
def test_it_serves_a_plain_user(missing):
    nobody = 65534
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    python = next(
        (one for one in (f"/usr/bin/{version}", f"/usr/local/bin/{version}") if Path(one).exists()), None
    )
    if python is None:
        missing(f"there is no system {version} that nobody may run")
    script = """
import os, pathlib, subprocess
from roadmap_progress.servers import git_remote
home = os.environ["HOME"]
with git_remote() as host:
    host.create("shop")
    for url in (host.url("shop"), host.git_url("shop")):
        subprocess.run(["git", "push", "-q", url, "HEAD:main"], cwd=home + "/work", check=True)
print(os.geteuid(), os.listdir(os.environ["TMPDIR"]))
"""
    with tempfile.TemporaryDirectory(prefix="plain-") as folder:
        path = Path(folder)
        (path / "tmp").mkdir()
        prepare = "git init -q work && cd work && git -c user.name=a -c user.email=a commit -q --allow-empty -m a"
        os.chown(path, nobody, nobody)
        os.chown(path / "tmp", nobody, nobody)
        env = {
            "PATH": "/usr/bin:/bin",
            "HOME": folder,
            "TMPDIR": str(path / "tmp"),
            "PYTHONPATH": str(Path(roadmap_progress.__file__).parents[1]),
        }
        done = subprocess.run(
            ["/bin/sh", "-c", f'{prepare} && exec "$0" -c "$1"', python, script],
            env=env,
            cwd=folder,
            user=nobody,
            group=nobody,
            extra_groups=[],
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
    assert (done.stdout, done.stderr) == (f"{nobody} []\n", "")
