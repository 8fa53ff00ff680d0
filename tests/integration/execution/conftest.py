"""An engine for all tests of this folder: starting a zygote takes a second."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from roadmap_progress.execution.engine import Engine
from roadmap_progress.execution.forks import Zygote
from roadmap_progress.execution.sandbox import check_machine

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """An engine whose zygote has numpy and pandas."""
    check_machine()
    with Zygote(["numpy", "pandas"]) as zygote:
        yield Engine(zygote)
