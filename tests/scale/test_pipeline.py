"""What is sent arrives, or is counted where it was lost: at rest and in five faults.

Failed traces are kept whatever the share is, so each of them is looked for. A trace is
whole when all of its spans are stored; a span may be stored twice after a fault, since
every hop sends again what was not acknowledged, but never less than once.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from processes import eventually
from traces import FAILED, ORDINARY, Client

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline import Pipeline

pytestmark = [pytest.mark.scale, pytest.mark.timeout(900)]

_WITHIN = 240.0
_SAMPLERS = ("sampler0", "sampler1")
_ACCEPTED = "otelcol_receiver_accepted_spans_total"
_REFUSED = "otelcol_receiver_refused_spans_total"
_SENT = "otelcol_exporter_sent_spans_total"
_CALLS = "sum(traces_span_metrics_calls_total)"
_CALLS_OF = 'sum(traces_span_metrics_calls_total{{collector_instance_id="{}"}})'


@dataclass(frozen=True, slots=True)
class Counts:
    """What the tiers have counted so far, in spans."""

    gateways: float
    refused: float
    samplers: float
    kept: float
    ingested: float


def _counts(pipeline: Pipeline) -> Counts:
    both = ("gateway0", "gateway1")
    return Counts(
        sum(pipeline.metric(each, _ACCEPTED, receiver="otlp") for each in both),
        sum(pipeline.metric(each, _REFUSED, receiver="otlp") for each in both),
        sum(pipeline.metric(each, _ACCEPTED, receiver="otlp") for each in _SAMPLERS),
        sum(pipeline.metric(each, _SENT, exporter="kafka") for each in _SAMPLERS),
        pipeline.metric("ingester", _SENT, exporter="jaeger_storage_exporter"),
    )


def _all_failed_stored(pipeline: Pipeline, client: Client) -> dict[str, list[str]]:
    """Wait until every failed trace is stored whole, and return what is stored."""
    failed = client.sent.of(FAILED)

    def whole() -> dict[str, list[str]]:
        found = pipeline.stored(set(client.sent.traces))
        there = all(
            len(set(found.get(key, ()))) == spans
            for key, (_, _, spans) in failed.items()
        )
        return found if there else {}

    return eventually(whole, "every failed trace is stored whole", _WITHIN)


def _assert_whole(client: Client, stored: dict[str, list[str]]) -> None:
    """Hold that of every stored trace every span is there."""
    cut = {
        key: len(set(spans))
        for key, spans in stored.items()
        if len(set(spans)) != client.sent.traces[key][2]
    }
    assert cut == {}


def _quiet(probe: Callable[[], object]) -> None:
    """Wait until a figure has not changed for five seconds."""
    last: list[object] = [None, 0.0]

    def same() -> bool:
        now = probe()
        if now != last[0]:
            last[:] = [now, time.monotonic()]
        return time.monotonic() - float(str(last[1])) > 5

    eventually(same, "nothing more comes", _WITHIN)


def test_nothing_is_lost_at_rest(pipeline: Pipeline, client: Client) -> None:
    """Sent, accepted, sampled, counted and stored are the same spans."""
    before, calls = _counts(pipeline), pipeline.query(_CALLS)
    client.send(100)
    sent = client.sent
    assert (sent.refused, sent.unanswered) == (0, 0)
    stored = _all_failed_stored(pipeline, client)
    _quiet(lambda: _counts(pipeline))
    after = _counts(pipeline)
    assert after.gateways - before.gateways == sent.accepted == sent.attempted
    assert after.samplers - before.samplers == sent.accepted
    eventually(
        lambda: pipeline.query(_CALLS) - calls >= sent.accepted,
        "span metrics have every span",
        _WITHIN,
    )
    assert pipeline.query(_CALLS) - calls == sent.accepted

    eventually(
        lambda: pipeline.query(_CALLS, "victoria") == pipeline.query(_CALLS),
        "what is kept long is the same",
        _WITHIN,
    )

    stored = pipeline.stored(set(sent.traces))
    _assert_whole(client, stored)
    kept = sum(len(spans) for spans in stored.values())
    assert after.kept - before.kept == kept
    assert after.ingested - before.ingested == kept
    ordinary = sent.of(ORDINARY)
    share = sum(key in stored for key in ordinary) / len(ordinary)
    assert 0.07 < share < 0.13


def test_a_request_without_the_token_is_refused(pipeline: Pipeline) -> None:
    """With the status that the page names; nothing of it is counted as accepted."""
    before = _counts(pipeline).gateways
    stranger = Client(pipeline.front, pipeline.ca, "guessed")
    assert stranger.post(b"") == 401
    stranger.close()
    assert _counts(pipeline).gateways == before


def test_kafka_holds_what_an_absent_ingester_would_have_read(
    pipeline: Pipeline, client: Client
) -> None:
    """It goes on where it was."""
    pipeline.ingester.stop()
    try:
        client.send(50)
        _quiet(lambda: _counts(pipeline).kept)
        assert pipeline.stored(set(client.sent.traces)) == {}
    finally:
        pipeline.ingester.start()
    _assert_whole(client, _all_failed_stored(pipeline, client))


def test_samplers_hold_what_a_restarted_kafka_does_not_take(
    pipeline: Pipeline, client: Client
) -> None:
    """Their queues are on disk; what was on the way is written again."""
    with client.steadily(10):
        time.sleep(2)
        pipeline.kafka.stop()
        try:
            time.sleep(5)
            held = sum(
                pipeline.metric(each, "otelcol_exporter_queue_size", exporter="kafka")
                for each in _SAMPLERS
            )
            assert held > 0
        finally:
            pipeline.start_kafka()
        time.sleep(2)
    assert (client.sent.refused, client.sent.unanswered) == (0, 0)
    _assert_whole(client, _all_failed_stored(pipeline, client))


def test_a_gateway_is_rolled_without_a_loss(pipeline: Pipeline, client: Client) -> None:
    """The new one takes over, the old one sends what it has and ends."""
    new = pipeline.gateways[1]
    new.start()
    try:
        with client.steadily(10):
            time.sleep(2)
            pipeline.front[0] = pipeline.ports["gateway1_http"]
            pipeline.gateways[0].stop()
            time.sleep(3)
    finally:
        pipeline.gateways[0].start()
        pipeline.front[0] = pipeline.ports["gateway0_http"]
        client.close()
        new.stop()
    _assert_whole(client, _all_failed_stored(pipeline, client))


def test_a_killed_sampler_loses_what_it_had_not_decided(
    pipeline: Pipeline, client: Client
) -> None:
    """And nothing else: its share waits in the gateway until it is back."""
    sampler = pipeline.samplers[0]
    before = _counts(pipeline)
    calls = {each: pipeline.query(_CALLS_OF.format(each)) for each in _SAMPLERS}
    with client.steadily(10):
        time.sleep(4)
        killed_at = time.time()
        sampler.kill()
        time.sleep(4)
        counted = pipeline.query(_CALLS_OF.format("sampler0")) - calls["sampler0"]
        sampler.start()
        time.sleep(2)
    assert (client.sent.refused, client.sent.unanswered) == (0, 0)
    _quiet(lambda: (_counts(pipeline).kept, _counts(pipeline).ingested))
    assert _counts(pipeline).gateways - before.gateways == client.sent.accepted

    stored: dict[str, list[str]] = {}

    def enough() -> bool:
        stored.clear()
        stored.update(pipeline.stored(set(client.sent.traces)))
        failed = client.sent.of(FAILED)
        late = {key for key, (at, _, _) in failed.items() if at > killed_at}
        return late <= set(stored)

    eventually(enough, "every trace sent after the kill is stored", _WITHIN)
    _assert_whole(client, stored)
    lost = {
        key: at - killed_at
        for key, (at, _, _) in client.sent.of(FAILED).items()
        if key not in stored
    }
    # It counts anew from zero under the same name; what it had not sent to Prometheus
    # before it was killed is what span metrics lack, at most seconds of it.
    counted += pipeline.query(_CALLS_OF.format("sampler0"))
    counted += pipeline.query(_CALLS_OF.format("sampler1")) - calls["sampler1"]
    recent = sum(
        spans
        for at, _, spans in client.sent.traces.values()
        if killed_at - 5 < at < killed_at + 1
    )
    assert 0 <= client.sent.accepted - counted <= recent

    # Decided a second after the root, at the next tick of a second; written to the
    # queue on disk at once. Waiting in the gateway adds a batch's 200 ms.
    assert all(-10 < age < 0 for age in lost.values()), lost
    assert 0 < len(lost) < len(client.sent.of(FAILED)) / 2


def test_a_full_disk_fires_an_alert_and_the_runbook_recovers_all(
    pipeline: Pipeline, client: Client
) -> None:
    """Jaeger drops what OpenSearch refuses; reading Kafka again stores it."""
    began = time.time()
    marks = {
        f"cluster.routing.allocation.disk.watermark.{name}": value
        for name, value in (("low", "1%"), ("high", "2%"), ("flood_stage", "3%"))
    }
    _settings(pipeline, marks)
    try:
        eventually(
            lambda: "read_only_allow_delete" in str(pipeline.ask("_all/_settings")),
            "OpenSearch finds its disk full",
            _WITHIN,
        )
        client.send(30)
        eventually(
            lambda: (
                pipeline.metric("ingester", "jaeger_storage_bulk_index_errors_total")
                > 0
            ),
            "Jaeger counts what is refused",
            _WITHIN,
        )
        eventually(
            lambda: (
                pipeline.query("sum(rate(jaeger_storage_bulk_index_errors_total[1m]))")
                > 0
            ),
            "Prometheus has the series of the alert",
            _WITHIN,
        )
        _quiet(lambda: _counts(pipeline).ingested)
    finally:
        pipeline.ingester.stop()
        _settings(pipeline, dict.fromkeys(marks))
    pipeline.ask("_all/_settings", {"index.blocks.read_only_allow_delete": None}, "PUT")
    when = time.strftime("%Y-%m-%dT%H:%M:%S.000", time.gmtime(began - 5))
    eventually(
        lambda: (
            "otlp_spans"
            in pipeline.tool(
                "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
                *("--group", "jaeger-ingester", "--topic", "otlp_spans"),
                *("--reset-offsets", "--to-datetime", when, "--execute"),
            )
        ),
        "the group is set back",
        _WITHIN,
    )
    pipeline.ingester.start()
    _assert_whole(client, _all_failed_stored(pipeline, client))


def _settings(
    pipeline: Pipeline, settings: dict[str, str | None] | dict[str, None]
) -> None:
    pipeline.ask("_cluster/settings", {"transient": settings}, "PUT")
