"""Marks that helpers of locked cells carry: where they run when checks run apart from the answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_Function = TypeVar("_Function", bound="Callable[..., Any]")
grading: dict[str, Callable[[Any], Any]] = {}  # what a mark does, in processes that grade


def beside_answers(function: _Function) -> _Function:
    """Mark a helper of a locked cell that has to run in the process of the answers, where grading has two.

    It measures what only that process knows (memory, open files, what is printed), and returns plain values. In a
    learner's own kernel the mark changes nothing. Its result is no proof: the answers could have changed it.
    """
    function.runs_beside_answers = True  # type: ignore[attr-defined]  # a function takes any attribute
    return function


def in_probe(function: _Function) -> _Function:
    """Mark a helper of a locked cell that has a tool look at what the learner made, and could be turned by that.

    git obeys a repository's own configuration, linters and builds obey files beside the code. Called by a check,
    the helper runs in a process of its own, in the answers' folder; behind the call that is thrown away, with all
    that it started. It gets and returns plain values. In a learner's own kernel the mark changes nothing.
    """
    mark = grading.get("in_probe")
    marked: _Function = mark(function) if mark else function
    return marked
