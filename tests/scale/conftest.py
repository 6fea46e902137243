"""The pipeline, started once for all tests; the modules beside are importable."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

_HERE = Path(__file__).resolve().parent
_TESTS = _HERE.parent
sys.path[:0] = [
    *(str(_HERE), str(_TESTS), str(_TESTS / "e2e"), str(_TESTS / "e2e/servers")),
]

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline import Pipeline
    from traces import Client


@pytest.fixture(scope="session")
def pipeline() -> Iterator[Pipeline]:
    """Gateway, two samplers, Kafka, Jaeger's ingester, OpenSearch, Prometheus."""
    from pipeline import Pipeline  # noqa: PLC0415 -- needs what make scale fetches

    servers = Pipeline()
    try:
        servers.start()
        yield servers
    finally:
        servers.stop()


@pytest.fixture
def client(pipeline: Pipeline) -> Iterator[Client]:
    """A client with a count of its own."""
    from traces import Client  # noqa: PLC0415 -- as above

    one = Client(pipeline.front, pipeline.ca, pipeline.token)
    yield one
    one.close()
