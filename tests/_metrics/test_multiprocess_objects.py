"""prometheus_client's own objects as the store, without its files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry

from otel_callbacks import OTelCallbackHandler, Settings
from otel_callbacks._metrics import wiring
from otel_callbacks.testing import FakeChatModel

if TYPE_CHECKING:
    import pytest

USAGE = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}


def values(monkeypatch: pytest.MonkeyPatch, *, extensions: bool) -> dict[str, float]:
    """Return the sums of all samples after two streams and a call without usage."""
    monkeypatch.setattr(wiring, "is_multiprocess", lambda: True)
    registry = CollectorRegistry()
    handler = OTelCallbackHandler(
        tracer_provider=TracerProvider(),
        registry=registry,
        settings=Settings(strict=True, extensions=extensions),
    )
    config: Any = {"callbacks": [handler]}
    for _ in range(2):
        list(FakeChatModel(usage=USAGE).stream("?", config))
    for _ in range(2):
        FakeChatModel().invoke("?", config)
    sums: dict[str, float] = {}
    for family in registry.collect():
        for sample in family.samples:
            sums[sample.name] = sums.get(sample.name, 0) + sample.value
    return sums


def test_all_series(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens, chunks and what is missing go into the objects as each call ends."""
    sums = values(monkeypatch, extensions=True)
    assert sums["otel_callbacks_tokens_total"] == 20
    assert sums["otel_callbacks_operations_total"] == 4
    assert sums["otel_callbacks_usage_missing_total"] == 2
    assert sums["otel_callbacks_open_runs"] == 0
    assert sums["otel_callbacks_operations_in_flight"] == 0


def test_conventions_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without extensions there is nothing of ours."""
    sums = values(monkeypatch, extensions=False)
    assert not [name for name in sums if name.startswith("otel_callbacks")]
    assert sums["gen_ai_client_token_usage_sum"] == 20
