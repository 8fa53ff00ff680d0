"""Running notebooks apart from the process that asks for it."""

from roadmap_progress.execution.kernels import Run, run_notebook, run_notebooks

__all__ = ["Run", "run_notebook", "run_notebooks"]
