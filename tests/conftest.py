"""A small course to build: one notebook, two exercises, written as an author writes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

REPOSITORY = Path(__file__).resolve().parents[1]
# How long an example takes says how busy the machine is.
settings.register_profile("course", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("course")

FRONT = "---\nkernelspec: {display_name: Python 3, language: python, name: python3}\n---\n\n"

ROADMAP = """
[[section]]
number = 1
slug = "01-foundations"
title = "Foundations"

[[section.notebook]]
number = "1.1"
slug = "sums"
title = "Sums"
status = "ready"
minutes = 30
topics = [
  {id = "adding", title = "Adding", links = [{title = "Sum", url = "https://example.org/sum"}]},
  {id = "taking-away", title = "Taking away"},
]

[[section.notebook]]
number = "1.2"
slug = "later"
title = "Later"
status = "planned"
minutes = 10
requires = ["1.1"]
topics = [{id = "later-topic", title = "Later"}]
"""

LESSON = (
    FRONT
    + """# 1.1 Sums

**After this lesson you can** add. **You need** nothing · **about 10 minutes**

Predict before you run; predict again; and predict once more.

:::{glossary}
sum
: What comes of adding.
:::

![Two and two](figures/two.svg)

```{code-cell} ipython3
print("four"); print(2 + 2)
```

```{code-cell} ipython3
:tags: [nbval-ignore-output]
:reason: "an object's address is chance"

object()
```

## Summary

Sums.

## Pitfalls

:::{warning}
Rounding.
:::

## Further reading

- [About sums](https://example.org/sum)
"""
)

EXERCISES = (
    FRONT
    + """# 1.1 Sums · exercises

```{code-cell} ipython3
:role: setup

def expect(what, got, expected):
    assert type(got) is type(expected) and got == expected, f"{what}: got {got!r}; expected {expected!r}"
```

## Exercise 1 · Add

Write `add(a, b)`, which returns the sum of two whole numbers.

:::{hint} 1
Think.
:::
:::{hint} 2
Think of `+`.
:::
:::{hint} 3
`a + b`.
:::

```{code-cell} ipython3
:exercise: add
:role: answer

def add(a, b):
    ### BEGIN SOLUTION
    return a + b  # the sum of both
    ### END SOLUTION
```

```{code-cell} ipython3
:exercise: add
:role: checks
:id: sum
:topic: adding
:points: 2

expect("add(2, 2)", add(2, 2), 4)
### BEGIN HIDDEN TESTS
expect("add(2, 3), further numbers", add(2, 3), 5)
### END HIDDEN TESTS
```

```{code-cell} ipython3
:exercise: add
:role: mistake
:caught-by: "add(2, 2): got 0"

def add(a, b):
    return a - b
```

```{code-cell} ipython3
:exercise: add
:role: mistake
:caught-by: "further numbers): got 6"

def add(a, b):
    return a * b
```

## Exercise 2 · Take away

Write `less(a, b)`, which returns what is left of `a` without `b`.

:::{hint} 1
Think.
:::
:::{hint} 2
Think of `-`.
:::
:::{hint} 3
`a - b`.
:::

```{code-cell} ipython3
:exercise: less
:role: answer

def less(a, b):
    ### BEGIN SOLUTION
    return a - b  # what is left
    ### END SOLUTION
```

```{code-cell} ipython3
:exercise: less
:role: checks
:id: rest
:topic: taking-away
:points: 1

expect("less(2, 2)", less(2, 2), 0)
### BEGIN HIDDEN TESTS
expect("less(5, 3), further numbers", less(5, 3), 2)
### END HIDDEN TESTS
```

```{code-cell} ipython3
:exercise: less
:role: mistake
:caught-by: "less(2, 2): got 4"

def less(a, b):
    return a + b
```

```{code-cell} ipython3
:exercise: less
:role: mistake
:caught-by: "further numbers: got 0"

def less(a, b):
    return 0
```

+++ {"exercise": "less", "role": "essay", "id": "why", "topic": "taking-away", "points": 1}

Say why.

### BEGIN SOLUTION
Because subtraction undoes addition.
### END SOLUTION

+++

That was all.
""".replace('"further numbers): got 6"', '"further numbers: got 6"')
)

PICTURE = '<svg xmlns="http://www.w3.org/2000/svg" width="4" height="4"><rect width="4" height="4"/></svg>\n'


def write_course(root: Path) -> Path:
    """Lay out the small course's sources below `root`."""
    folder = root / "content" / "01-foundations"
    (folder / "figures").mkdir(parents=True)
    (root / "content" / "roadmap.toml").write_text(ROADMAP, encoding="utf-8")
    (folder / "1.1-sums.lesson.md").write_text(LESSON, encoding="utf-8")
    (folder / "1.1-sums.exercises.md").write_text(EXERCISES, encoding="utf-8")
    (folder / "figures" / "two.svg").write_text(PICTURE, encoding="utf-8")
    for name in ("pyproject.toml", "nbgrader_config.py"):
        shutil.copy2(REPOSITORY / name, root / name)
    return root


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """The root of a course that can be built."""
    return write_course(tmp_path / "course-root")


@pytest.fixture(scope="session")
def built_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small course, built; for copying only."""
    from roadmap_progress.authoring import build

    root = write_course(tmp_path_factory.mktemp("built") / "course-root")
    build.build(root, [], say=lambda _: None)
    return root


@pytest.fixture
def lesson_file(course: Path) -> Path:
    """Its lesson's source."""
    return course / "content" / "01-foundations" / "1.1-sums.lesson.md"


@pytest.fixture
def exercises_file(course: Path) -> Path:
    """Its exercises' source."""
    return course / "content" / "01-foundations" / "1.1-sums.exercises.md"
