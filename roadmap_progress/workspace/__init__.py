"""The learner's copies under `work/`: make, compare, start over, bring up to date."""

from __future__ import annotations

from roadmap_progress.workspace.copies import CopyState, Update, Workspace

__all__ = ["CopyState", "Update", "Workspace"]
