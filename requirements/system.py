"""Install what tests want from the distribution, or say how: `python3 requirements/system.py`.

As root, and in CI where sudo asks for nothing, missing packages are installed without starting any daemon of
theirs. Anybody else is told the one command, and nothing is changed; so is everybody with `--tell`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

LIST = Path(__file__).with_name("apt.txt")
POLICY = Path("/usr/sbin/policy-rc.d")  # Debian asks it before a package starts a daemon; 101 means no
# Debian's servers lie where a plain user's PATH does not look.
SEARCH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])


def read(text: str) -> dict[str, list[str]]:
    """Packages and the commands or files that stand for them, from the text of apt.txt."""
    lines = (line.partition("#")[0].split() for line in text.splitlines())
    return {words[0]: words[1:] for words in lines if words}


def missing() -> list[str]:
    """The packages none of whose commands or files is on this machine."""
    packages = read(LIST.read_text(encoding="utf-8"))
    return [name for name, signs in packages.items() if not any(map(is_here, signs))]


def is_here(sign: str) -> bool:
    """Whether there is this command, or a file like this."""
    if sign.startswith("/"):
        return any(Path("/").glob(sign.lstrip("/")))
    return shutil.which(sign, path=SEARCH) is not None


def command(packages: list[str]) -> str:
    """The one command that a person types."""
    if shutil.which("apt-get"):
        return f"sudo apt-get install {' '.join(packages)}"
    return f"your system's package manager, for: {' '.join(packages)}"


@contextmanager
def no_daemons() -> Iterator[None]:
    """Packages installed in here start no daemon; a policy that is there already stays as it is."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink(missing_ok=True)


def install(packages: list[str]) -> int:
    """Install packages with apt, as root; returns apt's exit code."""
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    with no_daemons():
        subprocess.run(["apt-get", "update", "-qq"], env=quiet, check=False)
        known = [name for name in packages if has_candidate(name)]
        for name in sorted(set(packages) - set(known)):
            print(f"==> this distribution has no package {name}")
        if not known:
            return 0
        print(f"==> installing {' '.join(known)}", flush=True)
        apt = ["apt-get", "install", "-qq", "-y", "--no-install-recommends", *known]
        return subprocess.run(apt, env=quiet, check=False).returncode


def has_candidate(package: str) -> bool:
    """Whether apt could install it."""
    policy = subprocess.run(["apt-cache", "policy", package], capture_output=True, text=True, check=False)
    return "Candidate:" in policy.stdout and "Candidate: (none)" not in policy.stdout


def main() -> int:
    """Install or tell; returns the exit code."""
    packages = missing()
    if not packages:
        return 0
    if "--tell" in sys.argv:
        return tell(packages)
    if shutil.which("apt-get") and os.geteuid() == 0:
        return install(packages)
    free_sudo = ["sudo", "-n", "true"]
    if os.environ.get("CI") and shutil.which("sudo") and subprocess.run(free_sudo, check=False).returncode == 0:
        return subprocess.run(["sudo", "-n", sys.executable, __file__], check=False).returncode
    return tell(packages)


def tell(packages: list[str]) -> int:
    """Name the one command; nothing is wrong with that, so the exit code is 0."""
    print(f"==> missing: {', '.join(packages)}; tests that need them are left out. To have them:")
    print(f"    {command(packages)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
