"""Checks marked `# grading: same-process`: run beside the answers, in a fork in which patches are undone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from roadmap_progress import notebooks
from roadmap_progress.execution.engine import Step
from roadmap_progress.execution.forked import marks

if TYPE_CHECKING:
    from roadmap_progress.execution.engine import Done, Engine

REPOSITORY = Path(__file__).parents[3]
SETUP = """
import math
import sys
import unittest

def expect(got, wanted):
    assert type(got) is type(wanted) and got == wanted, f"got {got!r}; expected {wanted!r}"
"""
HONEST = "kept = []\ndef total(cart):\n    kept.append(cart)\n    return sum(cart)"
CHECK = """# grading: same-process
expect(total([1, 2]), 3)
expect(kept[-1], [1, 2])
assert sys.getrefcount(kept) < 10
class Case(unittest.TestCase):
    def test(self): self.assertEqual(total([4]), 4)
assert unittest.TextTestRunner(stream=open("/dev/null", "w")).run(Case("test")).wasSuccessful()
expect(math.isclose(total([2]), 2), True)
"""


def run(engine: Engine, answer: str, check: str = CHECK, *more: Step) -> list[Done]:
    steps = [Step(SETUP, "locked"), Step(answer, "answer"), Step(check, "check", same_process=True), *more]
    return engine.run(steps, graded=["total"], timeout_s=10)[0]


def error(done: Done) -> str:
    return "".join(f"{one['ename']}: {one['evalue']}" for one in done.outputs if one["output_type"] == "error") + (
        done.ended or ""
    )


def test_an_honest_answer_passes_and_a_wrong_one_fails_for_its_reason(engine: Engine) -> None:
    assert error(run(engine, HONEST)[2]) == ""
    assert error(run(engine, HONEST.replace("sum(cart)", "7"))[2]) == "AssertionError: got 7; expected 3"


def test_it_leaves_nothing_behind_in_the_answers(engine: Engine) -> None:
    """What it changes is gone; a check apart comes after it as before it."""
    apart = Step("assert kept == [] and total([5]) == 5, kept", "check")
    spoils = "# grading: same-process\nkept.append(1)\ntotal = None\nimport math; math.isclose = None"
    done = run(engine, HONEST, spoils, apart, Step("print(total([1]), math.isclose(1, 1))", "answer"))
    assert [error(one) for one in done] == [""] * 5


ATTACKS = {
    "own expect": "def expect(*_): pass",
    "expect's code": "expect.__code__ = (lambda got, wanted: None).__code__",
    "builtins": "import builtins\nbuiltins.type = lambda x: 1\nbuiltins.AssertionError = SystemError",
    "an ast transformer": "import ast\nclass T(ast.NodeTransformer):\n    def visit_Assert(self, n): return ast.Pass()\n"
    "get_ipython().ast_transformers.append(T())",
    "an input transformer": "get_ipython().input_transformers_cleanup.append(lambda lines: ['pass\\n'])",
    "a post transformer": "get_ipython().input_transformers_post.append(lambda lines: ['pass\\n'])",
    "run_cell_async of the class": "type(get_ipython()).run_cell_async = lambda *a, **k: None",
    "run_cell_async of the object": "async def nothing(*a, **k):\n    class R: error_before_exec = error_in_exec = None\n"
    "    return R()\nget_ipython().__dict__['run_cell_async'] = nothing",
    "a custom exception handler": "get_ipython().set_custom_exc((Exception,), lambda *a, **k: None)",
    "tracing": "import sys\ndef trace(frame, event, _):\n    if frame.f_code.co_name == 'expect': frame.f_locals['got'] = 3\n"
    "    return trace\nsys.settrace(trace)",
    "a hidden traceback": "get_ipython()._showtraceback = lambda *a, **k: None\n"
    "get_ipython().showtraceback = lambda *a, **k: None",
    "the outputs": "from roadmap_progress.execution import shell\nshell.Outputs.add = lambda self, output: None\n"
    "shell._error = lambda error: {'output_type': 'stream', 'name': 'stdout', 'text': ''}",
    "the executor": "from roadmap_progress.execution.shell import Cells\nCells.run = lambda self, source, timeout_s: ([], 1)",
    "the sender": "from roadmap_progress.execution import wire\nreal = wire.send\n"
    "wire.send = lambda channel, message: real(channel, {**message, 'outputs': [], 'runs': [[], [], [], []]})",
    "exit in the call": "import os\ntotal = lambda cart: os._exit(0)",
    "a forged reply": "import os, json, struct\ndef total(cart):\n"
    "    data = json.dumps({'runs': [[], [], [], []]}).encode()\n"
    "    for fd in range(3, 200):\n        try: os.write(fd, struct.pack('<I', len(data)) + data)\n        except OSError: pass\n"
    "    return 0",
    "unittest": "import unittest\nunittest.TestCase.assertEqual = lambda *a: None",
    "a thread that goes on": "import threading, os, json, struct, time\ndef forge():\n"
    "    data = json.dumps({'runs': [[], [], [], []]}).encode()\n    time.sleep(0.05)\n"
    "    for _ in range(50):\n        for fd in range(3, 120):\n"
    "            try: os.write(fd, struct.pack('<I', len(data)) + data)\n            except OSError: pass\n        time.sleep(0.01)\n"
    "threading.Thread(target=forge, daemon=True).start()",
    "equal to everything": "class Yes(int):\n    def __eq__(self, other): return True\n    __hash__ = int.__hash__\ntotal = lambda cart: Yes()",
}


@pytest.mark.parametrize("name", ATTACKS)
def test_a_cheat_that_patches_what_the_check_stands_on_earns_nothing(engine: Engine, name: str) -> None:
    done = run(
        engine, "kept = [[1, 2]]\ndef total(cart): return 0\n" + ATTACKS[name], CHECK.replace("< 10", "< 99")
    )
    assert error(done[2])


def test_at_most_one_check_in_ten_of_the_course_runs_beside_the_answers() -> None:
    found: list[bool] = []
    for path in sorted((REPOSITORY / "solutions").glob("*/*.ipynb")):
        for cell in notebooks.read(path).cells:
            about = cell.metadata.get("nbgrader", {})
            if cell.cell_type == "code" and about.get("grade") and not about.get("solution"):
                reason = cell.metadata.get("roadmap", {}).get("same_process")
                assert bool(reason) == ("same-process" in marks(cell.source)), (path, about.grade_id)
                found.append(bool(reason))
    assert len(found) > 30
    assert sum(found) * 10 <= len(found)
