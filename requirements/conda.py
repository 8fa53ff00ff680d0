"""Write environment.yml, for conda and Binder, from requirements/lab.txt: `python3 requirements/conda.py`.

Python comes from conda-forge, everything else from the lock. Hashes are left out: conda hands the list to
pip as written, without the option that would check them. The course's own package is not in it: naming a
folder there would make Binder rebuild this layer with every change of a lesson; `binder/postBuild` installs it.
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHON = "3.11"  # the version that the lessons' outputs are made with
PIN = re.compile(r"^(?P<pin>[A-Za-z0-9._-]+==\S+(?: ; .*?)?)(?: \\)?$", re.MULTILINE)


def pins(lock: str) -> list[str]:
    """The pinned requirements of a lock file, with their markers and without hashes."""
    return [match["pin"] for match in PIN.finditer(lock)]


def environment(lock: str) -> str:
    """The text of environment.yml for a lock file's text."""
    lines = [
        "# Made by `make lock` from requirements/lab.txt: edit requirements/lab.in instead.",
        "name: backend-roadmap",
        "channels:",
        "  - conda-forge",
        "  - nodefaults",
        "dependencies:",
        f"  - python={PYTHON}",
        "  - pip",
        "  - pip:",
        *(f'      - "{pin}"' for pin in pins(lock)),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    lock = (ROOT / "requirements" / "lab.txt").read_text(encoding="utf-8")
    (ROOT / "environment.yml").write_text(environment(lock), encoding="utf-8")
