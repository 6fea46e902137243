"""The modules beside this file and those of the end-to-end tests are importable."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

_HERE = Path(__file__).resolve().parent
sys.path[:0] = [
    str(_HERE),
    str(_HERE.parent / "e2e"),
    str(_HERE.parent / "e2e" / "servers"),
]

from api_server import ApiServer, missing  # noqa: E402 -- importable by the lines above

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _pytest.tmpdir import TempPathFactory


@pytest.fixture(scope="session")
def api_server(tmp_path_factory: TempPathFactory) -> Iterator[ApiServer]:
    """A real API server that knows the operators' kinds and the namespaces."""
    lacks = missing()
    if lacks:
        pytest.skip(f"no API server: {lacks}")
    server = ApiServer(tmp_path_factory.mktemp("api-server"))
    try:
        server.start()
        yield server
    finally:
        server.stop()
