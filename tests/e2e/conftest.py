"""Fixtures that start the stack; the modules beside this file are importable."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

_HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(_HERE), str(_HERE / "servers")]

from stack import Stack  # noqa: E402 -- importable by the lines above

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _pytest.tmpdir import TempPathFactory


@pytest.fixture(scope="session")
def stack(tmp_path_factory: TempPathFactory) -> Iterator[Stack]:
    """All three servers with the configuration's defaults, shared by the tests."""
    servers = Stack(tmp_path_factory.mktemp("stack"))
    try:
        servers.start()
        yield servers
    finally:
        servers.stop()


@pytest.fixture
def own_stack(tmp_path: Path) -> Iterator[Stack]:
    """Return a stack for one test, not started; it is stopped afterwards."""
    servers = Stack(tmp_path)
    try:
        yield servers
    finally:
        servers.stop()
