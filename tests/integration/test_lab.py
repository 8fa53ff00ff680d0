"""`make lab` really opens JupyterLab on the dashboard."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DEADLINE_S = 100


@pytest.fixture
def lab(tmp_path: Path) -> Any:
    """What a running `make lab` says of itself; Ctrl-C ends it, as it would a person's."""
    environment = os.environ | {
        "JUPYTER_RUNTIME_DIR": str(tmp_path),
        "JUPYTER_CONFIG_DIR": str(tmp_path / "config"),
    }
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            ["make", "lab", "LAB_ARGS=--no-browser --port=0 --ip=127.0.0.1"],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield running(process, tmp_path)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


def running(process: subprocess.Popen[bytes], runtime: Path) -> dict[str, Any]:
    """The server's own description, once it answers."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline and process.poll() is None:
        for file in runtime.glob("jpserver-*.json"):
            try:
                server: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
                request(server, "/api")
            except (OSError, ValueError):
                continue  # half written, or not answering yet
            return server
        time.sleep(0.1)
    pytest.fail(f"`make lab` did not come up:\n{(runtime / 'log').read_text(encoding='utf-8')}")


def request(server: dict[str, Any], path: str) -> tuple[int, str]:
    """Status and Location of the answer to a learner's browser."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", server["port"], timeout=20)) as connection:
        connection.request("GET", path, headers={"Authorization": f"token {server['token']}"})
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.headers.get("Location", "").rstrip("?")


@pytest.mark.server
def test_lab_comes_up_in_the_course_and_lands_on_the_dashboard(lab: dict[str, Any]) -> None:
    assert Path(lab["root_dir"]) == ROOT
    assert request(lab, "/") == (302, "/lab/tree/dashboard.ipynb")
    assert request(lab, "/lab/tree/dashboard.ipynb") == (200, "")
