"""The course's own package: what learners, instructors and authors run.

Notebooks import only what `__all__` names, and `roadmap_progress.servers`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["beside_answers", "commit_graph", "dashboard"]

_Function = TypeVar("_Function", bound="Callable[..., Any]")


def beside_answers(function: _Function) -> _Function:
    """Mark a helper of a locked cell that has to run in the process of the answers, where grading has two.

    It measures what only that process knows (memory, open files, what is printed), and returns plain values. In a
    learner's own kernel the mark changes nothing. Its result is no proof: the answers could have changed it.
    """
    function.runs_beside_answers = True  # type: ignore[attr-defined]  # a function takes any attribute
    return function


def __getattr__(name: str) -> object:
    """Import only what is asked for: the dashboard brings the widgets' machinery with it."""
    if name == "commit_graph":
        from roadmap_progress.graphs import commit_graph

        return commit_graph
    if name == "dashboard":
        from roadmap_progress.dashboard.widget import dashboard

        return dashboard
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
