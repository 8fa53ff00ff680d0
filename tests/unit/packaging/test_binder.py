"""Binder's image, as repo2docker's own code would build it; nothing here needs a container engine."""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import warnings
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def dockerfile() -> str:
    """What `jupyter-repo2docker --no-build --debug .` shows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # repo2docker 2026.4 imports a module by its old name
        from repo2docker.app import Repo2Docker
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        Repo2Docker(repo=str(ROOT), dry_run=True, user_id=1000, user_name="jovyan").build()
    return shown.getvalue()


def position(dockerfile: str, pattern: str) -> int:
    found = re.search(pattern, dockerfile, re.MULTILINE)
    assert found, f"no line like {pattern} in:\n{dockerfile}"
    return found.start()


def test_packages_are_installed_before_the_course_is_copied(dockerfile: str) -> None:
    """So a change in a lesson rebuilds no environment."""
    environment = position(dockerfile, r"^COPY .*src/binder/environment\.yml ")
    install = position(dockerfile, r"env update .*--file \"binder/environment\.yml\"")
    copy = position(dockerfile, r"^COPY .*src/ \$\{REPO_DIR\}/?$")
    post_build = position(dockerfile, r"^RUN \./binder/postBuild")
    assert environment < install < copy < post_build


def test_system_packages_come_before_the_environment(dockerfile: str) -> None:
    packages = position(dockerfile, r"apt-get -qq install .*\n?(?:.*\n)*?.*nginx-light")
    assert packages < position(dockerfile, r"^COPY .*src/binder/environment\.yml ")


def test_the_image_starts_through_our_script(dockerfile: str) -> None:
    assert re.search(r'R2D_ENTRYPOINT="\$\{REPO_DIR\}/binder/start"|ENV R2D_ENTRYPOINT=.*binder/start', dockerfile)


def test_a_browser_comes_with_the_libraries_that_playwright_names() -> None:
    """Playwright's own list for this Ubuntu, which its command would install as root."""
    import playwright

    [bundle] = Path(playwright.__file__).parent.glob("driver/package/lib/coreBundle.js")
    table = re.search(
        r'"ubuntu24\.04-x64": \{.*?chromium: \[(.*?)\]', bundle.read_text(encoding="utf-8"), re.DOTALL
    )
    assert table
    needed = set(re.findall(r'"([^"]+)"', table[1]))
    assert len(needed) > 10
    assert needed <= set((ROOT / "binder" / "apt.txt").read_text(encoding="utf-8").split())
    assert "playwright install chromium-headless-shell" in (ROOT / "binder" / "postBuild").read_text(
        encoding="utf-8"
    )


def test_its_environment_is_the_one_at_the_root() -> None:
    link = ROOT / "binder" / "environment.yml"
    assert link.is_symlink()
    assert str(link.readlink()) == "../environment.yml"


@pytest.mark.parametrize("name", ["postBuild", "start"])
def test_scripts_can_run(name: str) -> None:
    script = ROOT / "binder" / name
    assert os.access(script, os.X_OK)
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0


def test_starting_jupyter_lands_on_the_dashboard(tmp_path: Path) -> None:
    jupyter = tmp_path / "jupyter"
    jupyter.write_text('#!/bin/sh\necho "$@"\n')
    jupyter.chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    start = [ROOT / "binder" / "start"]
    lands = subprocess.run(
        [*start, "jupyter", "notebook", "--ip=0.0.0.0"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert lands.stdout.split()[-1] == "--ServerApp.default_url=/lab/tree/dashboard.ipynb"
    other = subprocess.run([*start, "echo", "hello"], capture_output=True, text=True, check=True)
    assert other.stdout == "hello\n"


def test_the_package_itself_is_left_to_post_build() -> None:
    """An `-e .` in the environment would move its slow layer after the copy of the course."""
    environment = (ROOT / "environment.yml").read_text(encoding="utf-8")
    assert not re.search(r"-e \.|--editable|-r ", environment)
    assert "--editable ." in (ROOT / "binder" / "postBuild").read_text(encoding="utf-8")
