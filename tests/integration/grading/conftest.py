"""A course of one small notebook, laid out as the real one, and what its students hand in."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import pytest

from roadmap_progress import notebooks
from roadmap_progress.hidden import without_hidden
from roadmap_progress.model import digest

if TYPE_CHECKING:
    from nbformat import NotebookNode

REPOSITORY = Path(__file__).parents[3]
SECTION, STEM = "01-foundations", "1.1-warm-up"

SETUP = """\
def expect(what, got, expected):
    assert type(got) is type(expected) and got == expected, f"{what}: got {got!r}; expected {expected!r}"
"""
DOUBLE_CHECK = """\
expect("double(2)", double(2), 4)
expect("double('ab')", double("ab"), "abab")
### BEGIN HIDDEN TESTS
concealed_number = 987654
expect("double(987654)", double(concealed_number), 1975308)
expect("double('Zanzibar')", double("Zanzibar"), "ZanzibarZanzibar")
### END HIDDEN TESTS
"""
GREET_POLITE = """\
expect("greet('Ada')", greet("Ada"), "Hello, Ada!")
"""
GREET_NOBODY = """\
expect("greet('')", greet(""), "Hello!")
### BEGIN HIDDEN TESTS
expect("greet of blanks", greet("  \\t "), "Hello!")
### END HIDDEN TESTS
"""
DOUBLE = """\
def double(value):
    ### BEGIN SOLUTION
    return value + value
    ### END SOLUTION
"""
GREET = """\
def greet(name):
    ### BEGIN SOLUTION
    name = name.strip()
    return f"Hello, {name}!" if name else "Hello!"
    ### END SOLUTION
"""
ESSAY = """\
Your answer:

### BEGIN SOLUTION
Because names are data.
### END SOLUTION
"""

# What students write, by grade id.
CORRECT = {
    "double_answer": "def double(value):\n    return value * 2",
    "greet_answer": 'def greet(name):\n    return f"Hello, {name.strip()}!" if name.strip() else "Hello!"',
    "why_essay": "Your answer:\n\nSo that nobody is called DROP TABLE.",
}
# Right in all that is shown, and it prints what it is called with.
HARD_CODED = {
    "double_answer": 'def double(value):\n    print("called with", value)\n    return {2: 4}.get(value) or "abab"',
    "greet_answer": 'def greet(name):\n    return f"Hello, {name}!" if name else "Hello!"',
}
WRONG = {
    "double_answer": "def double(value):\n    return 5",
    "greet_answer": 'def greet(name):\n    return "Hello, " + name["first"]',
}


@dataclass
class Course:
    """A course's folder, and a way to run its commands."""

    root: Path
    environment: dict[str, str]
    section: ClassVar = SECTION
    stem: ClassVar = STEM
    correct: ClassVar = CORRECT
    hard_coded: ClassVar = HARD_CODED
    wrong: ClassVar = WRONG

    def run(self, *command: str, cwd: Path | None = None, ok: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `nbgrader …` or `roadmap …` in the course's folder."""
        module = {"nbgrader": "nbgrader", "roadmap": "roadmap_progress"}[command[0]]
        code = f"import sys; sys.argv[0] = {command[0]!r}; "
        if module == "nbgrader":
            code += "from nbgrader.apps.nbgraderapp import main; sys.exit(main())"
        else:
            code += "from roadmap_progress.cli import main; sys.exit(main())"
        done = subprocess.run(
            [sys.executable, "-c", code, *command[1:]],
            cwd=cwd or self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=400,  # a limit against hanging; a busy machine may take its time
            check=False,
        )
        if ok:
            assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done

    def release(self) -> NotebookNode:
        return notebooks.read(self.root / "exercises" / SECTION / f"{STEM}.ipynb")

    def answer(self, folder: Path, answers: dict[str, str]) -> Path:
        """Write the exercises with these answers into the folder, as a learner leaves them."""
        notebook = self.release()
        for name, source in answers.items():
            notebooks.cells_by_grade_id(notebook)[name].source = source
        path = folder / f"{STEM}.ipynb"
        notebooks.write(notebook, path)
        return path

    def hand_in(self, student: str, answers: dict[str, str], when: str = "2027-01-10 12:00:00 UTC") -> None:
        """Put a submission where collect puts it."""
        folder = self.root / "classroom" / "submitted" / student / SECTION
        self.answer(folder, answers)
        (folder / "timestamp.txt").write_text(when)

    def student(self, name: str) -> Course:
        """The checkout of a student: the tree without solutions, and a home of their own."""
        root = self.root.parent / name / "course"
        shutil.copytree(self.root, root, ignore=shutil.ignore_patterns("solutions", "classroom", "work"))
        return Course(root, _environment(root.parent) | {"ROADMAP_EXCHANGE": str(self.exchange)})

    @property
    def exchange(self) -> Path:
        return self.root.parent / "exchange"

    def feedback(self, student: str) -> str:
        return (self.root / "classroom" / "feedback" / student / SECTION / f"{STEM}.html").read_text()


def _cell(name: str, source: str, *, role: str, points: float | None = None) -> NotebookNode:
    cell = (notebooks.new_markdown_cell if role == "essay" else notebooks.new_code_cell)(source.rstrip("\n"))
    cell["id"] = digest(name)[:12]
    notebooks.add_nbgrader_metadata(
        cell, name, grade=points is not None, solution=role in ("answer", "essay"), points=points
    )
    cell.metadata["roadmap"] = {"role": role, "exercise": name.partition("_")[0]}
    return cell


def solutions() -> NotebookNode:
    """nbgrader's source version of the small notebook."""
    title = notebooks.new_markdown_cell("# 1.1 Warm-up · exercises")
    title["id"] = "title"
    prompts = []
    for number, name in enumerate(("double", "greet", "why"), start=1):
        prompt = notebooks.new_markdown_cell(
            f"## Exercise {number} · {name}\n\n"
            f"<details><summary>Hint 1</summary>\n\nThink about {name}.\n\n</details>\n\n"
            f"<details><summary>Hint 2</summary>\n\nNearly the code of {name}.\n\n</details>"
        )
        prompt["id"] = f"prompt-{name}"
        prompts.append(prompt)
    setup = _cell("warm-up_setup-1", SETUP, role="setup")
    return notebooks.new_notebook(
        cells=[
            title,
            setup,
            prompts[0],
            _cell("double_answer", DOUBLE, role="answer"),
            _cell("double_values", DOUBLE_CHECK, role="checks", points=2),
            prompts[1],
            _cell("greet_answer", GREET, role="answer"),
            _cell("greet_polite", GREET_POLITE, role="checks", points=1),
            _cell("greet_nobody", GREET_NOBODY, role="checks", points=2),
            prompts[2],
            _cell("why_essay", ESSAY, role="essay", points=3),
        ],
        metadata={
            "kernelspec": dict(notebooks.KERNELSPEC),
            "language_info": dict(notebooks.LANGUAGE_INFO),
            "roadmap": {"kind": "exercises", "notebook": "1.1", "edit": "content/01-foundations/1.1.md"},
        },
    )


def catalogue(full: NotebookNode, released: NotebookNode) -> dict[str, object]:
    """course/roadmap.json of the small course."""
    solved, stubs = notebooks.cells_by_grade_id(full), notebooks.cells_by_grade_id(released)

    def answer(name: str) -> dict[str, object]:
        return {"id": name, "released": digest(stubs[name].source)}

    def check(name: str, kind: str = "checks") -> dict[str, object]:
        return {
            "id": name,
            "topic": "topic-a",
            "points": solved[name].metadata.nbgrader.points,
            "kind": kind,
            "version": digest(solved[name].source),
            "released": digest(stubs[name].source),
        }

    return {
        "version": "0.1.0",
        "sections": [
            {
                "number": 1,
                "slug": SECTION,
                "title": "Foundations",
                "notebooks": [
                    {
                        "number": "1.1",
                        "slug": "warm-up",
                        "title": "Warm-up",
                        "status": "ready",
                        "topics": [{"id": "topic-a", "title": "Topic A"}],
                        "exercises": [
                            {
                                "id": "double",
                                "title": "double",
                                "answers": [answer("double_answer")],
                                "checks": [check("double_values")],
                            },
                            {
                                "id": "greet",
                                "title": "greet",
                                "answers": [answer("greet_answer")],
                                "checks": [check("greet_polite"), check("greet_nobody")],
                            },
                            {
                                "id": "why",
                                "title": "why",
                                "answers": [answer("why_essay")],
                                "checks": [check("why_essay", "essay")],
                            },
                        ],
                    },
                    {"number": "1.2", "slug": "later", "title": "Later", "status": "planned"},
                ],
            }
        ],
    }


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small course, built once."""
    root = tmp_path_factory.mktemp("course") / "course"
    root.mkdir()
    shutil.copy(REPOSITORY / "nbgrader_config.py", root)
    full = solutions()
    notebooks.write(full, root / "solutions" / SECTION / f"{STEM}.ipynb")
    course = Course(root, _environment(root.parent))
    course.environment["ROADMAP_GRADEBOOK"] = str(root.parent / "throwaway.db")
    course.run("nbgrader", "generate_assignment", SECTION)
    assert not (root / "classroom" / "gradebook.db").exists()
    (root / "course").mkdir()
    (root / "course" / "roadmap.json").write_text(json.dumps(catalogue(full, course.release())))
    shutil.rmtree(root / "classroom")
    shutil.rmtree(root / "work")
    return root


@pytest.fixture
def course(template: Path, tmp_path: Path) -> Course:
    """A fresh checkout of the small course."""
    root = tmp_path / "course"
    shutil.copytree(template, root)
    return Course(root, _environment(tmp_path))


@pytest.fixture
def a_class(course: Course) -> Course:
    """A fresh checkout in which the instructor has run `roadmap classroom init`."""
    course.run("roadmap", "classroom", "init")
    return course


def _environment(home: Path) -> dict[str, str]:
    """An environment without the settings of whoever runs the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ROADMAP", "JUPYTER", "NB"))}
    (home / "home").mkdir(exist_ok=True)
    return kept | {
        "HOME": str(home / "home"),
        "JUPYTER_DATA_DIR": str(home / "home" / "jupyter"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONUNBUFFERED": "1",
    }


@pytest.fixture
def hidden_texts() -> list[str]:
    """Every line and value that is in hidden checks only."""
    lines = []
    for cell in solutions().cells:
        shown = without_hidden(cell.source).split("\n")
        lines += [line for line in cell.source.split("\n") if "HIDDEN TESTS" in line or line not in shown]
    return [*lines, "987654", "1975308", "Zanzibar", "concealed_number", "greet of blanks"]
