from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from otel_callbacks.cli.doctor.addresses import address
from otel_callbacks.cli.doctor.probe import Deadline, Sent
from otel_callbacks.cli.doctor.sampling import Evidence

if TYPE_CHECKING:
    from loopback_servers import FakeStack

_DROPPED = "sampled="
_RECEIVED = 'sum({__name__=~"otelcol_processor_tail_sampling_new_trace'


@pytest.fixture
def sent() -> Sent:
    """A trace that has been sent now."""
    return Sent((), "1" * 32, time.monotonic(), time.time())


def _evidence(stack: FakeStack, **before: float) -> Evidence:
    """Return evidence that begins with these numbers."""
    stack.series |= {_DROPPED: 0, _RECEIVED: 0, **before}
    return Evidence(address("", stack.prometheus.url), Deadline(5))


def test_all_dropped_is_certain(stack: FakeStack, sent: Sent) -> None:
    """As soon as the Collector's series have been read after the trace was sent."""
    evidence = _evidence(stack)
    stack.series |= {_DROPPED: 2, _RECEIVED: 2}
    assert evidence.why_missing(sent, at_last=False) is None
    stack.series["timestamp"] = sent.wall + 1
    found = evidence.why_missing(sent, at_last=False)
    assert found is not None
    assert found.reason.endswith("tail sampling has dropped 2 of 2 traces")
    assert "COLLECTOR_KEEP_PERCENT" in found.remedy


def test_some_dropped_is_likely_at_last(stack: FakeStack, sent: Sent) -> None:
    """Others were kept meanwhile: the trace may be on its way until time is up."""
    evidence = _evidence(stack)
    stack.series |= {_DROPPED: 1, _RECEIVED: 4, "timestamp": sent.wall + 1}
    assert evidence.why_missing(sent, at_last=False) is None
    found = evidence.why_missing(sent, at_last=True)
    assert found is not None
    assert "dropped 1 of 4 traces" in found.reason


def test_full_queue_is_likely_at_last(stack: FakeStack, sent: Sent) -> None:
    """Nothing was dropped, and something waits."""
    evidence = _evidence(stack)
    stack.series["otelcol_exporter_queue_size"] = 900
    assert evidence.why_missing(sent, at_last=False) is None
    found = evidence.why_missing(sent, at_last=True)
    assert found is not None
    assert found.reason.startswith("the trace waits in the Collector's queue")
    assert "COLLECTOR_JAEGER_ENDPOINT" in found.remedy


def test_nothing_is_known_without_the_series(stack: FakeStack, sent: Sent) -> None:
    """Neither where Prometheus is away, nor where it has none, nor unasked."""
    evidence = _evidence(stack)
    assert evidence.calls == 3
    assert evidence.why_missing(sent, at_last=True) is None
    stack.prometheus.stop()
    assert evidence.why_missing(sent, at_last=True) is None
    for where in (None, address("", stack.prometheus.url)):
        unknown = Evidence(where, Deadline(1))
        assert unknown.calls == 0
        assert unknown.why_missing(sent, at_last=True) is None
