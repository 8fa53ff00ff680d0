"""What tests of several folders share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Playwright, sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    """Playwright, once: a second one in the same thread refuses to run beside the first one's event loop."""
    with sync_playwright() as one:
        yield one
