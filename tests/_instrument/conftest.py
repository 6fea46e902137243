"""Instrumentation of one test, whose telemetry goes where the test looks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from langchain_core.callbacks.manager import CallbackManager

from otel_callbacks import OTelCallbackHandler, instrument, uninstrument

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_callbacks.testing import Capture


@pytest.fixture
def start(telemetry: Capture) -> Iterator[Callable[[], OTelCallbackHandler]]:
    """Return what instruments; afterwards nothing is instrumented."""
    uninstrument()

    def start() -> OTelCallbackHandler:
        return instrument(
            tracer_provider=telemetry.tracer_provider,
            registry=telemetry.registry,
            settings=telemetry.handler.settings,
        )

    yield start
    uninstrument()


@pytest.fixture
def instrumenting() -> Callable[[], OTelCallbackHandler | None]:
    """Return what finds the handler that LangChain adds, or None."""

    def find() -> OTelCallbackHandler | None:
        handlers = CallbackManager.configure().handlers
        ours = [one for one in handlers if isinstance(one, OTelCallbackHandler)]
        return ours[0] if ours else None

    return find
