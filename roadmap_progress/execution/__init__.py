"""Running notebooks apart from the process that asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from roadmap_progress.execution.kernels import Run, run_notebook, run_notebooks

__all__ = ["Run", "run_notebook", "run_notebooks"]


def __getattr__(name: str) -> object:
    """Import the kernels' machinery only when it is asked for: a zygote has no use for it."""
    if name in __all__:
        from roadmap_progress.execution import kernels

        return getattr(kernels, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
