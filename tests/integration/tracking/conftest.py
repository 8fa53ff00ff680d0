"""A small course on disk, and real kernels that run its cells as JupyterLab does."""

from __future__ import annotations

import json
import os
import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import nbformat
import pytest
from jupyter_client.manager import KernelManager
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from roadmap_progress.model import digest
from roadmap_progress.store import Store, path_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from roadmap_progress.model import Event

SETUP = "import asyncio\nPRICES = [1, 2]"
CELLS = {  # grade id → what the learner gets
    "total_answer": "# Write your answer here.\n...",
    "total_sum": 'got = total(PRICES)\nassert got == 3, f"total([1, 2]) returned {got!r}; expected 3"',
    "total_empty": "assert total([]) == 0",
    "later_answer": "async def later():\n    ...",
    "later_value": 'assert await later() == 1, "later() is not 1"',
    "pair_first": "first = ...",
    "pair_second": "second = ...",
    "pair_sum": 'assert first + second == 3, f"{first} + {second} is not 3"',
    "slow_answer": "def slow(): ...",
    "slow_wait": "slow()",
    "partial_answer": "share = ...",
    "partial_credit": "share",
}
EXERCISES = {  # exercise → its answers, its checks with their points
    "total": (["total_answer"], {"total_sum": 2, "total_empty": 1}),
    "later": (["later_answer"], {"later_value": 1}),
    "pair": (["pair_first", "pair_second"], {"pair_sum": 1}),
    "slow": (["slow_answer"], {"slow_wait": 1}),
    "partial": (["partial_answer"], {"partial_credit": 2}),
}
STEM = "1.1-sums"


def metadata(name: str) -> dict[str, Any]:
    """The metadata that the build gives a cell."""
    points = next((checks[name] for _, checks in EXERCISES.values() if name in checks), None)
    nbgrader: dict[str, Any] = {"grade_id": name, "schema_version": 3, "task": False}
    if points is None:
        solution = name != "sums_setup-1"
        return {"nbgrader": {**nbgrader, "grade": False, "solution": solution, "locked": not solution}}
    return {"nbgrader": {**nbgrader, "grade": True, "solution": False, "locked": True, "points": points}}


def roadmap() -> dict[str, Any]:
    """The data of `roadmap.json`."""
    exercises = [
        {
            "id": name,
            "title": name,
            "answers": [{"id": answer, "released": digest(CELLS[answer])} for answer in answers],
            "checks": [
                {
                    "id": check,
                    "topic": "adding",
                    "points": points,
                    "version": f"v-{check}",
                    "released": digest(CELLS[check]),
                }
                for check, points in checks.items()
            ],
        }
        for name, (answers, checks) in EXERCISES.items()
    ]
    notebook = {
        "number": "1.1",
        "slug": "sums",
        "title": "Sums",
        "status": "ready",
        "topics": [{"id": "adding", "title": "Adding"}],
        "exercises": exercises,
    }
    section = {"number": 1, "slug": "01-foundations", "title": "Foundations", "notebooks": [notebook]}
    return {"version": "1", "sections": [section]}


@dataclass
class Ran:
    """What a front end has seen of a cell."""

    status: str
    text: str  # all outputs, colours taken out
    errors: list[dict[str, Any]] = field(default_factory=list)
    streams: dict[str, str] = field(default_factory=dict)


class Kernel:
    """A kernel, as JupyterLab uses it."""

    def __init__(self, manager: KernelManager, client: Any) -> None:
        self.manager = manager
        self.client = client

    def run(self, source: str, name: str = "", *, during: Callable[[], None] | None = None) -> Ran:
        """Run a cell; `name` is its grade id, sent with its metadata."""
        content = {
            "code": source,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": True,
        }
        sent = metadata(name) if name else {}
        message = self.client.session.msg("execute_request", content, metadata=sent)
        self.client.shell_channel.send(message)
        if during:
            during()
        return self._collect(message["header"]["msg_id"])

    def check(self, name: str, **options: Any) -> Ran:
        """Run a check (or untouched answer) as released."""
        return self.run(CELLS[name], name, **options)

    def stop(self) -> None:
        """Stop the kernel as JupyterLab does."""
        self.client.stop_channels()
        self.manager.shutdown_kernel()

    def _collect(self, message_id: str) -> Ran:
        outputs: list[str] = []
        ran = Ran("", "")
        while True:
            message = self.client.get_iopub_msg(timeout=60)
            if message["parent_header"].get("msg_id") != message_id:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "status" and content["execution_state"] == "idle":
                break
            if kind == "stream":
                outputs.append(content["text"])
                ran.streams[content["name"]] = ran.streams.get(content["name"], "") + content["text"]
            elif kind == "error":
                outputs.append("\n".join(content["traceback"]))
                ran.errors.append(content)
            elif kind == "execute_result":
                outputs.append(content["data"]["text/plain"])
        while True:
            reply = self.client.get_shell_msg(timeout=60)
            if reply["parent_header"].get("msg_id") == message_id:
                ran.status = reply["content"]["status"]
                break
        ran.text = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(outputs))
        return ran


@dataclass
class CourseTree:
    """The course's folder, with the learner's copy of 1.1 in it."""

    root: Path

    @property
    def copy(self) -> Path:
        return self.root / "work" / "01-foundations" / f"{STEM}.ipynb"

    def save(self, **answers: str) -> None:
        """Save the learner's notebook with these answers in it."""
        texts = {**CELLS, **answers}
        cells = [new_markdown_cell("# Sums"), new_code_cell(SETUP, metadata=metadata("sums_setup-1"))]
        cells += [new_code_cell(text, metadata=metadata(name)) for name, text in texts.items()]
        self.copy.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(new_notebook(cells=cells), self.copy)

    def write_roadmap(self, data: dict[str, Any]) -> None:
        """Write `roadmap.json` as the build does."""
        path = self.root / "course" / "roadmap.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(data), encoding="utf-8")

    def events(self) -> list[Event]:
        """What is stored."""
        if not path_for(self.root).exists():
            return []
        with Store(path_for(self.root)) as store:
            return [event for _, event in store.events()]

    @contextmanager
    def kernel(self, *, cwd: Path | None = None, **environment: str) -> Iterator[Kernel]:
        """A kernel of the learner's notebook; stopped on leaving, which also stores what waits."""
        # With PYTEST_CURRENT_TEST set, ipykernel does not pass on what child processes write.
        unwanted = {"ROADMAP_ROOT", "JPY_SESSION_NAME", "PYTEST_CURRENT_TEST"}
        env = {key: value for key, value in os.environ.items() if key not in unwanted}
        manager = KernelManager(kernel_name="python3")
        manager.start_kernel(cwd=str(cwd or self.copy.parent), env={**env, **environment})
        client = manager.client()
        client.start_channels()
        kernel = Kernel(manager, client)
        try:
            client.wait_for_ready(timeout=60)
            yield kernel
        finally:
            client.stop_channels()
            if manager.is_alive():
                manager.shutdown_kernel()
            manager.cleanup_resources()


@pytest.fixture
def course(tmp_path: Path) -> CourseTree:
    tree = CourseTree(tmp_path / "the course")  # a space, as in many people's folders
    tree.root.mkdir()
    tree.write_roadmap(roadmap())
    tree.save()
    return tree


@pytest.fixture
def course_data() -> dict[str, Any]:
    return roadmap()
