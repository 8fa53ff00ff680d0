"""`roadmap new 4.2`: the two files of a planned notebook, laid out for somebody to write."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roadmap_progress.authoring import outline
from roadmap_progress.errors import SourceError

if TYPE_CHECKING:
    from pathlib import Path

    from roadmap_progress.model import Notebook

FRONT_MATTER = "---\nkernelspec: {display_name: Python 3, language: python, name: python3}\n---\n\n"


def lay_out(root: Path, notebook: Notebook) -> list[Path]:
    """Write the notebook's two sources; returns their paths.

    Raises:
        SourceError: one of them is there already; nothing is overwritten.
    """
    lesson, exercises = outline.sources(root, notebook)
    for path in (lesson, exercises):
        if path.exists():
            raise SourceError(path, None, "is there already", "edit it; nothing was overwritten")
    lesson.parent.mkdir(parents=True, exist_ok=True)
    lesson.write_text(_lesson(notebook), encoding="utf-8")
    exercises.write_text(_exercises(notebook), encoding="utf-8")
    return [lesson, exercises]


def _lesson(notebook: Notebook) -> str:
    needs = " · ".join(notebook.requires) or "nothing but curiosity"
    topics = "\n\n".join(f"## {topic.title}" for topic in notebook.topics)
    links = "\n".join(f"- [{link.title}]({link.url})" for topic in notebook.topics for link in topic.links)
    return (
        f"{FRONT_MATTER}# {notebook.number} {notebook.title}\n\n"
        f"**After this lesson you can**\n\n**You need** {needs} · **about {notebook.minutes} minutes**\n\n"
        f"{topics}\n\n## Summary\n\n## Pitfalls\n\n## Further reading\n\n{links}\n"
    )


def _exercises(notebook: Notebook) -> str:
    topic = notebook.topics[0].id if notebook.topics else ""
    return f"""{FRONT_MATTER}# {notebook.number} {notebook.title} · exercises

```{{code-cell}} ipython3
:role: setup

```

## Exercise 1 · …

:::{{hint}} 1
:::
:::{{hint}} 2
:::
:::{{hint}} 3
:::

```{{code-cell}} ipython3
:exercise: {notebook.slug}-first
:role: answer

### BEGIN SOLUTION
### END SOLUTION
```

```{{code-cell}} ipython3
:exercise: {notebook.slug}-first
:role: checks
:id: first
:topic: {topic}
:points: 1

### BEGIN HIDDEN TESTS
### END HIDDEN TESTS
```

```{{code-cell}} ipython3
:exercise: {notebook.slug}-first
:role: mistake
:caught-by: ""

```
"""
