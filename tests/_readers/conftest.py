"""Reporters of runs, whose spans show what was read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from reporting import Reporter

from otel_callbacks import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def reporter() -> Iterator[Reporter]:
    """Return a reporter of runs, with a strict handler."""
    with Reporter(Settings(strict=True, semconv="latest")) as reporter:
        yield reporter


@pytest.fixture
def read(reporter: Reporter) -> Callable[..., dict[str, Any]]:
    """Return what reports a call with a result, and returns what its span holds."""

    def report(result: Any, **more: Any) -> dict[str, Any]:
        attributes: dict[str, Any] = reporter.call([], result, **more)["attributes"]
        del attributes["gen_ai.operation.name"]
        return attributes

    return report


@pytest.fixture
def request_of(reporter: Reporter) -> Callable[..., dict[str, Any]]:
    """Return what reports a call with parameters, and returns its span's attributes."""

    def report(params: Any = None, **more: Any) -> dict[str, Any]:
        attributes: dict[str, Any] = reporter.call([], params=params, **more)[
            "attributes"
        ]
        return attributes

    return report
