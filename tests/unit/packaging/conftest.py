"""What tests of the repository's own tools share."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parents[3]


def script(path: str) -> ModuleType:
    """A script of the repository as a module."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def install() -> ModuleType:
    """requirements/install.py."""
    return script("requirements/install.py")


@pytest.fixture
def system() -> ModuleType:
    """requirements/system.py."""
    return script("requirements/system.py")


@pytest.fixture
def conda() -> ModuleType:
    """requirements/conda.py."""
    return script("requirements/conda.py")


@pytest.fixture
def run() -> ModuleType:
    """tests/run.py."""
    return script("tests/run.py")
