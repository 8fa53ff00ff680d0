"""The learner's events, kept in SQLite: append-only, shared by several kernels, merged as sets by uuid."""

from __future__ import annotations

from roadmap_progress.store.events import Store, path_for

__all__ = ["Store", "path_for"]
