"""A git host of one's own: bare repositories behind `git http-backend` and `git daemon`.

::

    host = git_remote.start(users={"ada": "for-lessons-only", "bo": "for-lessons-only"})
    host.create("shop")                         # a bare repository, empty
    host.url("shop", "ada")                     # http://ada:…@127.0.0.1:41233/shop.git: to clone, fetch and push
    host.url("shop")                            # nobody in particular: fetching yes, pushing 401
    host.git_url("shop")                        # git://127.0.0.1:41234/shop.git
    host.path("shop")                           # the repository on disk, to look at
    host.install_hook("shop", "pre-receive", "#!/bin/sh\\nread old new ref\\n…")     # REMOTE_USER says who pushes
    host.requests()                             # what clients asked for over http, in order

Without `users` anybody may push, over http and over git://. With them, a push needs http and a password; with
`private=True` so does a clone, and git://, which knows no passwords, serves nothing. Branches of a repository have
a reflog, as on a real host.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from roadmap_progress.errors import ServerFailed
from roadmap_progress.processes import run
from roadmap_progress.servers._found import Found, Install, find_program
from roadmap_progress.servers._kind import Server, ServerKind, starting

if TYPE_CHECKING:
    from collections.abc import Mapping

INSTALL = Install(apt="git", conda="git", brew="git")
VARIABLE = "ROADMAP_GIT"
OLDEST = (2, 28)  # git init --initial-branch
PARTS = ("git-http-backend", "git-daemon")  # some distributions pack them separately
HOOKS = ("pre-receive", "update", "post-receive", "post-update", "reference-transaction")
HOST = "127.0.0.1"
NAME = "git-remote"
TIMEOUT_S = 20.0

# For the server's own git: none of the settings of whoever runs it, and nothing that goes on in the background.
CONFIG = """[init]
	defaultBranch = main
[safe]
	directory = *
[core]
	logAllRefUpdates = true
[gc]
	auto = 0
[maintenance]
	auto = false
[receive]
	autogc = false
"""


class Request(NamedTuple):
    """What a client asked for over http; equal to the plain tuple of its fields.

    Attributes:
        method: "GET" or "POST".
        path: with the query, if there is one.
        user: who it was; "" for nobody, or a wrong password.
        status: that it got.
    """

    method: str
    path: str
    user: str
    status: int


class GitRemote(Server):
    """Bare repositories, served.

    Attributes:
        folder: where they are.
        port: of http.
        git_port: of git://.
    """

    def __init__(self, folder: Path | None, users: Mapping[str, str], *, private: bool, timeout_s: float) -> None:
        found = locate()
        assert found.path is not None  # noqa: S101 (a program has a path)
        if private and not users:
            raise ValueError("a private host needs users: nobody could fetch from it")
        if unusable := [name for name in users if not name or ":" in name]:
            raise ValueError(f"{unusable[0]!r} cannot be a user's name in HTTP Basic: it is empty, or has a colon")
        if folder is not None and not folder.is_dir():
            raise ServerFailed(f"{folder} is no folder: make it before you start a git host over it")
        self._users = dict(users)
        self._program = found.path
        with (
            socket.create_server((HOST, 0), backlog=128) as web,
            socket.create_server((HOST, 0), backlog=128) as daemon,
        ):
            self.port: int = web.getsockname()[1]
            self.git_port: int = daemon.getsockname()[1]
            descriptors = [web.fileno(), daemon.fileno()]
            with starting(NAME, descriptors=descriptors) as watchdog:
                super().__init__(watchdog, found, f"http://{HOST}:{self.port} and git://{HOST}:{self.git_port}")
                directory = watchdog.directory
                self.folder = (folder or directory / "repositories").resolve()
                self.folder.mkdir(exist_ok=True)
                (directory / "home").mkdir()
                (directory / "gitconfig").write_text(CONFIG, encoding="utf-8")
                self._environment = _environment(directory, found.path)
                self._log = directory / "requests.jsonl"
                settings = {
                    "git": str(found.path),
                    "folder": str(self.folder),
                    "environment": self._environment,
                    "users": self._users,
                    "private": private,
                    "log": str(self._log),
                    "descriptors": descriptors,
                }
                file = directory / "settings.json"
                file.touch(mode=0o600)
                file.write_text(json.dumps(settings), encoding="utf-8")
                watchdog.start(
                    NAME,
                    [sys.executable, "-P", "-m", "roadmap_progress.servers._git_server", file],
                    descriptors=descriptors,
                )
                web.close()  # from here on, a server that has ended refuses
                daemon.close()
                watchdog.wait_ready(NAME, self._answers, timeout_s=timeout_s)
                self.clear_requests()  # ours

    def create(self, name: str, *, config: Mapping[str, str] | None = None) -> Path:
        """Make an empty bare repository, whose HEAD is `main`.

        Args:
            name: "shop", or "bookshop/shop"; `.git` is added where it is missing.
            config: of this repository: {"receive.denyNonFastForwards": "true"}.

        Returns:
            where it is.

        Raises:
            FileExistsError: there is one with this name.
        """
        path = self._path(name)
        if path.exists():
            raise FileExistsError(f"there is a repository {name!r} already: {path}")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._git("init", "--quiet", "--bare", "--initial-branch=main", str(path))
        for key, value in (config or {}).items():
            self._git(f"--git-dir={path}", "config", key, value)
        return path

    def path(self, name: str) -> Path:
        """Where this repository is.

        Raises:
            FileNotFoundError: there is none with this name.
        """
        path = self._path(name)
        if not (path / "HEAD").is_file():
            raise FileNotFoundError(f"there is no repository {name!r}: {path}")
        return path

    def url(self, name: str, user: str | None = None) -> str:
        """The repository's address over http, with the user's name and password in it if one is given."""
        at = ""
        if user is not None:
            if user not in self._users:
                raise KeyError(f"there is no user {user!r}; there are {', '.join(self._users) or 'none'}")
            at = f"{quote(user, safe='')}:{quote(self._users[user], safe='')}@"
        return f"http://{at}{HOST}:{self.port}/{self._path(name).relative_to(self.folder)}"

    def git_url(self, name: str) -> str:
        """The repository's address over git's own protocol, which knows no users."""
        return f"git://{HOST}:{self.git_port}/{self._path(name).relative_to(self.folder)}"

    def install_hook(self, name: str, hook: str, script: str) -> Path:
        """Have the host run a program at every push to this repository; it replaces an earlier one.

        Args:
            name: of the repository.
            hook: "pre-receive" or "update", which can refuse; "post-receive", which can tell others.
            script: its text, beginning with `#!`. `$REMOTE_USER` is who pushes; "" or unset for nobody.

        Returns:
            where it is.
        """
        if hook not in HOOKS:
            raise ValueError(f"{hook!r} is no hook of a push; there are {', '.join(HOOKS)}")
        if not script.startswith("#!"):
            raise ValueError("a hook is a program: begin it with #!/bin/sh, or #! and another interpreter")
        path = self.path(name) / "hooks" / hook
        path.parent.mkdir(exist_ok=True)
        beside = path.with_name(f"{hook}.new")
        beside.write_text(script, encoding="utf-8")
        beside.chmod(0o755)
        return beside.replace(path)

    def requests(self) -> list[Request]:
        """What was asked for over http so far, in order; a client that has its answer finds its request here."""
        try:
            lines = self._log.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        return [Request(*json.loads(line)) for line in lines]

    def clear_requests(self) -> None:
        """Forget the requests so far."""
        with contextlib.suppress(FileNotFoundError):
            os.truncate(self._log, 0)

    def _path(self, name: str) -> Path:
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*", name):
            raise ValueError(f"{name!r} is no repository's name: letters, digits, '.', '_', '-', with '/' between")
        return self.folder / (name if name.endswith(".git") else f"{name}.git")

    def _git(self, *arguments: str) -> None:
        done = run([self._program, *arguments], env=self._environment, cwd=self.folder, timeout_s=60.0)
        if not done.ok:
            raise ServerFailed(f"git {arguments[0]} did not succeed: {done.stderr.strip()}")

    def _answers(self) -> bool:
        # Patient: a question given up early would still be answered, and logged, after ours were forgotten.
        connection = http.client.HTTPConnection(HOST, self.port, timeout=10)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status in (http.client.NOT_FOUND, http.client.UNAUTHORIZED)
        except http.client.HTTPException:
            return False
        finally:
            connection.close()


def locate() -> Found:
    """The git that would be taken.

    Raises:
        ServerUnavailable: there is none, none that is recent enough, or it lacks the parts that serve.
    """
    found = find_program(
        "git", variable=VARIABLE, version_of=_version, at_least=OLDEST, wheel=lambda: None, install=INSTALL
    )
    assert found.path is not None  # noqa: S101 (a program has a path)
    parts = Path(run([found.path, "--exec-path"], timeout_s=10.0).stdout.strip())
    if missing := [part for part in PARTS if not os.access(parts / part, os.X_OK)]:
        raise INSTALL.unavailable("git", [f"{found.path} has no {' and no '.join(missing)} in {parts}"])
    return found


def _version(binary: Path) -> str | None:
    try:
        told = run([binary, "--version"], timeout_s=10.0)
    except OSError:
        return None
    match = re.search(r"git version (\d+(?:\.\d+)+)", told.stdout)
    return match[1] if match and told.ok else None


def _environment(directory: Path, program: Path) -> dict[str, str]:
    """For every git that serves, and for the hooks: what git itself needs, and Python for hooks written in it."""
    folders = [str(Path(sys.executable).parent), str(program.parent), os.environ.get("PATH", os.defpath)]
    return {
        "PATH": os.pathsep.join(folders),
        "HOME": str(directory / "home"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": str(directory / "gitconfig"),
        "LC_ALL": "C.UTF-8",
    }


def _open(
    folder: Path | None = None,
    *,
    users: Mapping[str, str] | None = None,
    private: bool = False,
    timeout_s: float = TIMEOUT_S,
) -> GitRemote:
    """Serve a folder of bare repositories.

    Args:
        folder: where they are, and are made; a temporary one of its own if not given.
        users: name → password. With users, only they may push.
        private: only users may fetch.
        timeout_s: it answers by then.

    Raises:
        ServerUnavailable: there is no git, or it lacks the parts that serve.
        ServerFailed: the folder is not there, or the server did not answer in time.
    """
    return GitRemote(folder, users or {}, private=private, timeout_s=timeout_s)


git_remote = ServerKind(
    "git_remote",
    _open,
    locate,
    INSTALL,
    "a git host: bare repositories over http and git://",
    kept=False,
)
