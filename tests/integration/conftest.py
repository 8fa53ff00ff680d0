"""What tests of several folders share."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Playwright, sync_playwright

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones first: at the end, no core is to wait for one of them."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    """Playwright, once: a second one in the same thread refuses to run beside the first one's event loop."""
    with sync_playwright() as one:
        yield one


@pytest.fixture(scope="session")
def missing() -> Callable[[str], None]:
    """A function to call for what is not there: fails in CI, skips elsewhere."""

    def give_up(reason: str) -> None:
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)

    return give_up
