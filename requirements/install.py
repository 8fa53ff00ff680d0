"""Set up the course's virtual environment: `python3 requirements/install.py lab` (or `test`).

Uses nothing but the standard library. Every step says what it does; a step whose input has not changed
since it last succeeded is left out, so that the second run takes no time. Exit code 1, with words that
help, when it cannot go on.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import shutil
import ssl
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
NEEDED_BYTES = 2_000_000_000  # with tests about 1.3 GB, and the packages on their way
FULL_BYTES = 50_000_000


class InstallError(Exception):
    """What stopped the installation, and what to do about it."""


def main() -> int:
    """Install what `use` needs; returns the exit code."""
    parser = argparse.ArgumentParser(description="Set up the course's virtual environment.")
    parser.add_argument("use", choices=["lab", "test", "tools"], help="learning, testing, or only the installer")
    use = parser.parse_args().use
    try:
        make_environment()
        install_tools()
        if use != "tools":
            install_packages(use)
            install_course()
    except InstallError as error:
        print(f"\nmake: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nmake: interrupted; the same command goes on where it stopped", file=sys.stderr)
        return 130
    return 0


def make_environment() -> None:
    """Make `.venv`, unless there is one that works."""
    if PYTHON.exists() and works():
        return
    if not all(importlib.util.find_spec(name) for name in ("venv", "ensurepip")):
        raise InstallError(
            f"{sys.executable} has no venv module. On Debian and Ubuntu:\n"
            f"    sudo apt-get install python3-venv\n"
            f"or name another Python: make lab PYTHON=/path/to/python3"
        )
    free_bytes = shutil.disk_usage(ROOT).free
    if free_bytes < NEEDED_BYTES:
        raise InstallError(
            f"{ROOT} has {free_bytes / 1e9:.1f} GB of free disk; the environment needs {NEEDED_BYTES / 1e9:.1f} GB"
        )
    version = ".".join(map(str, sys.version_info[:3]))
    if VENV.exists():
        say(f".venv does not work any more (moved, or its Python is gone): making it again with Python {version}")
    else:
        say(f"making .venv with Python {version}")
    run([sys.executable, "-m", "venv", "--clear", VENV], "the virtual environment could not be made")


def works() -> bool:
    """Whether the environment's Python starts, is the environment's, and has pip."""
    probe = "import pip, sys; sys.exit(sys.prefix == sys.base_prefix)"
    return subprocess.run([PYTHON, "-c", probe], capture_output=True, check=False).returncode == 0


def install_tools() -> None:
    """Install uv, which installs the rest several times faster than pip."""
    lock = ROOT / "requirements" / "tools.txt"
    stamp = Stamp("tools", lock)
    if stamp.fresh():
        return
    say("installing the installer (uv)")
    options = ["--quiet", "--disable-pip-version-check", "--require-hashes", "-r", str(lock)]
    run([PYTHON, "-m", "pip", "install", *options], "uv could not be installed")
    stamp.set()


def install_packages(use: str) -> None:
    """Install the locked packages, each held against its hash."""
    lock, overrides = ROOT / "requirements" / f"{use}.txt", ROOT / "requirements" / "overrides.txt"
    stamp = Stamp(use, lock, overrides)
    if stamp.fresh():
        return
    say(f"installing the packages of requirements/{use}.txt (a few minutes the first time)")
    uv("install", "--require-hashes", "--override", overrides, "-r", lock)
    stamp.set()


def install_course() -> None:
    """Install the course's own package, editable: a change in it works at once."""
    stamp = Stamp("course", ROOT / "pyproject.toml", *copied_files())
    if stamp.fresh():
        return
    say("installing the course's own package")
    uv("install", "--no-deps", "--no-build-isolation", "--editable", ROOT)
    stamp.set()


def copied_files() -> list[Path]:
    """The files that the package's installation copies: after a change in one it has to be installed again."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    shared = project["tool"]["hatch"]["build"]["targets"]["wheel"].get("shared-data", {})
    found = [file for name in shared for file in [ROOT / name, *(ROOT / name).rglob("*")]]
    return sorted(file for file in found if file.is_file())


def uv(verb: str, *arguments: str | Path) -> None:
    """Run `uv pip` on the environment; its words stay on the screen."""
    command: list[str | Path] = [VENV / "bin" / "uv", "pip", verb, "--python", PYTHON, *arguments]
    run(command, "the packages could not be installed")


def has_system_certificates() -> bool:
    """Whether the machine has certificates of its own, as pip would find them."""
    paths = ssl.get_default_verify_paths()
    return bool(paths.cafile) or bool(paths.capath and any(Path(paths.capath).iterdir()))


def run(command: Sequence[str | Path], failure: str) -> None:
    """Run a command with its output on the screen.

    Raises:
        InstallError: it ended with another code than 0; says which are the usual reasons.
    """
    outcome = subprocess.run([str(word) for word in command], cwd=ROOT, check=False)
    if outcome.returncode == 0:
        return
    if any(shutil.disk_usage(place).free < FULL_BYTES for place in (ROOT, Path.home())):
        raise InstallError(f"{failure}: the disk is full. Make room; the same command goes on where it stopped")
    raise InstallError(
        f"{failure}; the lines above say why. Usual reasons:\n"
        "  - no network, or a proxy in between: set HTTPS_PROXY, then run the same command again\n"
        "  - a mirror of your own: set PIP_INDEX_URL (for pip) and UV_INDEX_URL (for uv)\n"
        "  - a Python without ready-made packages: 3.11 to 3.13 have them, make lab PYTHON=python3.12"
    )


def say(what: str) -> None:
    """One line on the screen for each step."""
    print(f"==> {what}", flush=True)


class Stamp:
    """Remembers in the environment from which files a step was done, by their content.

    Content, not time: `git checkout` touches files without changing them.
    """

    def __init__(self, step: str, *files: Path) -> None:
        self._path = VENV / f".installed-{step}"
        self._digest = hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()

    def fresh(self) -> bool:
        """Whether the step was done from the same content."""
        return self._path.is_file() and self._path.read_text() == self._digest

    def set(self) -> None:
        """Remember that it has been done."""
        self._path.write_text(self._digest)


if __name__ == "__main__":
    if has_system_certificates():  # or a company's proxy that signs for itself would stop uv, though not pip
        os.environ.setdefault("UV_SYSTEM_CERTS", "1")
    started = time.monotonic()
    code = main()
    if code == 0 and (took_s := time.monotonic() - started) > 1:
        say(f"installed in {took_s:.0f} s")
    sys.exit(code)
