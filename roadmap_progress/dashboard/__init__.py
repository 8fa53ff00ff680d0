"""The learner's front door: what to show (`view`), as HTML (`page`), kept up to date (`session`, `widget`).

The package can be called: `from roadmap_progress import dashboard; dashboard()` is what dashboard.ipynb says,
and the name means this package as soon as any module of it was imported.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from roadmap_progress.dashboard.widget import Dashboard


class _FrontDoor(ModuleType):
    def __call__(self) -> Dashboard:
        """The learner's dashboard, for the course in or above the current folder."""
        from roadmap_progress.dashboard.widget import dashboard

        return dashboard()


sys.modules[__name__].__class__ = _FrontDoor
