"""The hop to Prometheus: its flags, the app's target and series, span metrics."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from otel_callbacks.cli._http import address
from otel_callbacks.cli.doctor.chain import SERVICE
from otel_callbacks.cli.doctor.probe import Check, Trouble, finding

if TYPE_CHECKING:
    from otel_callbacks.cli._http import Address, Answer
    from otel_callbacks.cli.doctor.probe import Deadline, Finding, Sent

_OK: Final = 200
_MINUTE: Final = 60.0


class Prometheus:
    """A client for the API of the stack's Prometheus.

    https://prometheus.io/docs/prometheus/latest/querying/api/
    """

    def __init__(self, check: Check) -> None:
        self._check = check

    def recognise(self) -> None:
        """Raise `Trouble` unless the server is a Prometheus."""
        answer = self._check.get("/api/v1/query", query="vector(1)")
        if _data_of(answer) is None:
            raise self._check.unrecognised(answer)

    def data(self, path: str, **query: str) -> Any:
        """Return the data at a path below ``/api/v1``, or None without success."""
        return _data_of(self._check.get(f"/api/v1/{path}", **query))

    def value(self, query: str) -> float | None:
        """Return the current value of an expression's first series, or None."""
        data = self.data("query", query=query)
        try:
            return float(data["result"][0]["value"][1])
        except (ValueError, KeyError, TypeError, IndexError):
            return None

    def traces_of_exemplars(self, query: str, since: float, until: float) -> set[str]:
        """Return the trace ids in the exemplars of a series."""
        found = self.data(
            "query_exemplars",
            query=query,
            # Clocks may differ; the trace id is unique.
            start=f"{since - _MINUTE:.3f}",
            end=f"{until + _MINUTE:.3f}",
        )
        return {
            exemplar["labels"].get("trace_id", "")
            for series in found or ()
            for exemplar in series["exemplars"]
        }


def _data_of(answer: Answer) -> Any:
    """Return the data of a Prometheus API response, or None if it is no success."""
    found = answer.json()
    is_success = answer.status == _OK and isinstance(found, dict)
    return found.get("data") if is_success else None


# The doctor's own spans in the span metrics.
_CALLS: Final = f'sum(traces_span_metrics_calls_total{{service_name="{SERVICE}"}})'
_DURATIONS: Final = (
    '{__name__=~"traces_span_metrics_duration_(milli)?seconds_bucket",'
    f'service_name="{SERVICE}"}}'
)
_QUEUE: Final = 'sum(otelcol_exporter_queue_size{data_type="metrics"})'


def check_prometheus(
    check: Check,
    metrics: Address | None,
    calls_before: float,
    *,
    span_metrics: bool,
) -> str:
    """Check Prometheus, and wait for the expected series."""
    prometheus = Prometheus(check)
    prometheus.recognise()
    exemplars, receives = _switches(check, prometheus)
    saw = []
    if metrics is not None:
        with check.going_on():
            saw.append(_app(check, prometheus, metrics))
    if span_metrics and check.sent is not None and receives:
        with check.going_on():
            saw.append(
                _span_metrics(
                    check, prometheus, check.sent, calls_before, exemplars=exemplars
                )
            )
    return ", ".join(saw) or "answers"


def _switches(check: Check, prometheus: Prometheus) -> tuple[bool, bool]:
    """Return whether exemplars are stored, and whether OTLP is accepted."""
    flags = prometheus.data("status/flags")
    if not isinstance(flags, dict):
        # Mimir, Thanos and others expose no flags.
        return True, True
    features = flags.get("enable-feature", "")
    exemplars = "exemplar-storage" in features
    if not exemplars:
        check.troubles.append(finding("no_exemplar_storage"))
    receives = (
        flags.get("web.enable-otlp-receiver") == "true"
        or "otlp-write-receiver" in features
    )
    if not receives:
        check.troubles.append(finding("no_otlp_receiver"))
    return exemplars, receives


def _app(check: Check, prometheus: Prometheus, metrics: Address) -> str:
    """Check the app's target and its series."""
    part = check.deadline.share(0.5)
    before = _active(prometheus)
    part.poll(lambda: _is_decided(_active(prometheus), before, metrics.port) or None)
    targets = _on(metrics.port, _active(prometheus))
    if not targets:
        raise Trouble(finding("no_target", port=metrics.port))
    up = [target for target in targets if target["health"] == "up"]
    if not up:
        error = targets[0]["lastError"] or "it has not been scraped yet"
        url = targets[0]["scrapeUrl"]
        raise Trouble(finding("target_down", url=url, error=error))
    count = part.poll(lambda: _series(prometheus, up) or None)
    if count is None:
        raise Trouble(finding("target_without_series", url=up[0]["scrapeUrl"]))
    return f"{count:.0f} series of the app"


def _active(prometheus: Prometheus) -> list[dict[str, Any]]:
    """Return the active targets."""
    found = prometheus.data("targets", state="active") or {}
    return list(found.get("activeTargets", ()))


def _on(port: int, targets: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the targets on the app's port; its host name differs in a container."""
    return [
        target
        for target in targets
        if address("scrapeUrl", target["scrapeUrl"]).port == port
    ]


def _is_decided(
    targets: list[dict[str, Any]], before: list[dict[str, Any]], port: int
) -> bool:
    """Return whether a target is up, or all were scraped again since the start."""
    ours = _on(port, targets)
    if not ours:
        # Prometheus may just have started, and discovers its targets one by one.
        known = [target["health"] != "unknown" for target in targets]
        return bool(known) and all(known)
    if any(target["health"] == "up" for target in ours):
        return True
    old = {(target["scrapeUrl"], target["lastScrape"]) for target in before}
    return all(
        target["health"] == "down"
        and (target["scrapeUrl"], target["lastScrape"]) not in old
        for target in ours
    )


def _series(prometheus: Prometheus, targets: list[dict[str, Any]]) -> float | None:
    """Count this library's series of targets; None without any."""
    instances = "|".join(
        str(target["labels"]["instance"]).replace(".", r"\\.") for target in targets
    )
    return prometheus.value(
        f'count({{__name__=~"(otel_callbacks|gen_ai)_.+",instance=~"{instances}"}})'
    )


def _span_metrics(
    check: Check,
    prometheus: Prometheus,
    sent: Sent,
    calls_before: float,
    *,
    exemplars: bool,
) -> str:
    """Wait for the Collector's span metrics of the trace."""

    def named() -> bool:
        found = prometheus.traces_of_exemplars(_DURATIONS, sent.wall, time.time())
        return sent.trace_id in found

    def probe() -> bool | None:
        if exemplars and named():
            return True
        # Not "more than": a restarted Collector counts from 0.
        calls = prometheus.value(_CALLS)
        return True if calls and calls != calls_before else None

    if not check.deadline.poll(probe):
        if prometheus.value(_QUEUE):
            raise Trouble(finding("span_metrics_queued"))
        raise Trouble(finding("no_span_metrics", seconds=sent.ago))
    if exemplars and not named():
        check.caution(finding("no_exemplar_of_trace"))
    return f"span metrics of the trace after {sent.ago:.1f} s"


_TAIL_SAMPLING: Final = "otelcol_processor_tail_sampling"
# With and without the suffix, which a Collector's reader may omit.
_DROPPED: Final = (
    f'sum({{__name__=~"{_TAIL_SAMPLING}_global_count_traces_sampled(_total)?",'
    'sampled="false"})'
)
_RECEIVED: Final = (
    f'sum({{__name__=~"{_TAIL_SAMPLING}_new_trace_id_received(_total)?"}})'
)
_READ_AT: Final = (
    f'max(timestamp({{__name__=~"{_TAIL_SAMPLING}_new_trace_id_received(_total)?"}}))'
)
_TRACES_QUEUE: Final = 'sum(otelcol_exporter_queue_size{data_type="traces"})'


class Evidence:
    """The Collector's counters before and after the export of the trace."""

    def __init__(self, address: Address | None, deadline: Deadline) -> None:
        # A separate check, because Prometheus has its own hop.
        check = Check(deadline, "prometheus", address) if address else None
        self._prometheus = Prometheus(check) if check else None
        self._dropped = self._value(_DROPPED)
        self._received = self._value(_RECEIVED)
        self.calls = self._value(_CALLS)

    def why_missing(self, sent: Sent, *, at_last: bool) -> Finding | None:
        """Return why the trace is missing, or None if that is unknown."""
        dropped = self._value(_DROPPED) - self._dropped
        received = self._value(_RECEIVED) - self._received
        # All traces since then have been dropped, among them this one.
        certain = dropped >= received and self._value(_READ_AT) > sent.wall
        if dropped > 0 and (certain or at_last):
            received = max(received, dropped)
            return finding("sampled_away", dropped=dropped, received=received)
        if at_last and self._value(_TRACES_QUEUE) > 0:
            return finding("trace_queued")
        return None

    def _value(self, query: str) -> float:
        """Return a value of the Collector's, or 0 without one."""
        if self._prometheus is None:
            return 0.0
        try:
            return self._prometheus.value(query) or 0.0
        except Trouble:
            return 0.0
