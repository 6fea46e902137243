"""The hops to Jaeger, Prometheus, Grafana and the app's series.

https://www.jaegertracing.io/docs/latest/architecture/apis/
"""

from __future__ import annotations

import re
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from httpx import codes

from otel_callbacks.cli._http import Address, address, fields_of
from otel_callbacks.cli.doctor.chain import SERVICE
from otel_callbacks.cli.doctor.probe import LOGIN_NEEDED, Check, Trouble, finding

if TYPE_CHECKING:
    from otel_callbacks.cli.doctor.probe import Deadline, Finding, Sent

_MINUTE: Final = 60.0


# Prometheus: https://prometheus.io/docs/prometheus/latest/querying/api/


def data(check: Check, path: str, **query: str) -> Any:
    """Return the data at a path of Prometheus' API, or None without success."""
    answer = check.get(f"/api/v1/{path}", **query)
    return fields_of(answer).get("data") if answer.is_success else None


def value(check: Check, query: str) -> float | None:
    """Return the current value of an expression's first series, or None."""
    found = data(check, "query", query=query)
    try:
        return float(found["result"][0]["value"][1])
    except (ValueError, KeyError, TypeError, IndexError):
        return None


def traces_of_exemplars(
    check: Check, query: str, since: float, until: float
) -> set[str]:
    """Return the trace ids in the exemplars of a series."""
    # Clocks may differ; the trace id is unique.
    times = {"start": f"{since - _MINUTE:.3f}", "end": f"{until + _MINUTE:.3f}"}
    return {
        exemplar["labels"].get("trace_id", "")
        for series in data(check, "query_exemplars", query=query, **times) or ()
        for exemplar in series["exemplars"]
    }


# The doctor's own spans in the span metrics.
_CALLS: Final = f'sum(traces_span_metrics_calls_total{{service_name="{SERVICE}"}})'
_DURATIONS: Final = (
    '{__name__=~"traces_span_metrics_duration_(milli)?seconds_bucket",'
    f'service_name="{SERVICE}"}}'
)
_QUEUE: Final = 'sum(otelcol_exporter_queue_size{data_type="metrics"})'


def check_prometheus(
    check: Check, metrics: Address | None, calls_before: float, *, span_metrics: bool
) -> str:
    """Check Prometheus, and wait for the expected series."""
    answer = check.get("/api/v1/query", query="vector(1)")
    if not answer.is_success or "data" not in fields_of(answer):
        raise check.unrecognised(answer)
    exemplars, receives = _switches(check)
    saw = []
    if metrics is not None:
        with check.going_on():
            saw.append(_app(check, metrics))
    if span_metrics and check.sent is not None and receives:
        with check.going_on():
            saw.append(
                _span_metrics(check, check.sent, calls_before, exemplars=exemplars)
            )
    return ", ".join(saw) or "answers"


def _switches(check: Check) -> tuple[bool, bool]:
    """Return whether exemplars are stored, and whether OTLP is accepted."""
    flags = data(check, "status/flags")
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


def _app(check: Check, metrics: Address) -> str:
    """Check the app's target and its series."""
    part = check.deadline.share(0.5)
    before = _active(check)
    part.poll(lambda: _is_decided(_active(check), before, metrics.port) or None)
    targets = _on(metrics.port, _active(check))
    if not targets:
        raise Trouble(finding("no_target", port=metrics.port))
    up = [target for target in targets if target["health"] == "up"]
    if not up:
        error = targets[0]["lastError"] or "it has not been scraped yet"
        url = targets[0]["scrapeUrl"]
        raise Trouble(finding("target_down", url=url, error=error))
    count = part.poll(lambda: _series(check, up) or None)
    if count is None:
        raise Trouble(finding("target_without_series", url=up[0]["scrapeUrl"]))
    return f"{count:.0f} series of the app"


def _active(check: Check) -> list[dict[str, Any]]:
    """Return the active targets."""
    found = data(check, "targets", state="active") or {}
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


def _series(check: Check, targets: list[dict[str, Any]]) -> float | None:
    """Count this library's series of targets; None without any."""
    instances = "|".join(
        str(target["labels"]["instance"]).replace(".", r"\\.") for target in targets
    )
    return value(
        check,
        f'count({{__name__=~"(otel_callbacks|gen_ai)_.+",instance=~"{instances}"}})',
    )


def _span_metrics(
    check: Check,
    sent: Sent,
    calls_before: float,
    *,
    exemplars: bool,
) -> str:
    """Wait for the Collector's span metrics of the trace."""

    def named() -> bool:
        found = traces_of_exemplars(check, _DURATIONS, sent.wall, time.time())
        return sent.trace_id in found

    def probe() -> bool | None:
        if exemplars and named():
            return True
        # Not "more than": a restarted Collector counts from 0.
        calls = value(check, _CALLS)
        return True if calls and calls != calls_before else None

    if not check.deadline.poll(probe):
        if value(check, _QUEUE):
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
        self._check = Check(deadline, "prometheus", address) if address else None
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
        if self._check is not None:
            with suppress(Trouble):
                return value(self._check, query) or 0.0
        return 0.0


# API v3 first: Jaeger after 2.20 has no other version.
_SERVICES: Final = (("/api/v3/services", "services"), ("/api/services", "data"))
_TRACES: Final = ("/api/v3/traces/", "/api/traces/")
# A trace that is sampled at once is in Jaeger well within this time.
_GRACE_SECONDS: Final = 5.0


def check_jaeger(check: Check, deadline: Deadline, evidence: Evidence) -> str:
    """Wait for the trace."""
    for path, key in _SERVICES:
        answer = check.get(path)
        if answer.is_success and key in fields_of(answer):
            break
    else:
        raise check.unrecognised(answer)
    if check.sent is None:
        return "answers; no trace was sent"
    sent, wanted = check.sent, len(check.sent.spans)
    seen = 0

    def probe() -> bool | None:
        nonlocal seen
        seen = max(seen, _spans(check, sent.trace_id))
        if seen < wanted and sent.ago > _GRACE_SECONDS:
            return True if evidence.why_missing(sent, at_last=False) else None
        return True if seen >= wanted else None

    deadline.poll(probe)
    if seen >= wanted:
        return f"the trace, with its {seen} spans"
    if seen:
        raise Trouble(finding("spans_missing", seen=seen, wanted=wanted))
    why = evidence.why_missing(sent, at_last=True)
    raise Trouble(why or finding("trace_missing", seconds=sent.ago))


def _spans(check: Check, trace_id: str) -> int:
    """Return the number of spans of a trace."""
    for path in _TRACES:
        answer = check.get(f"{path}{trace_id}")
        if answer.is_success and (count := _count(fields_of(answer))):
            return count
    return 0


def _count(found: dict[str, Any]) -> int:
    """Count the spans in OTLP JSON or in Jaeger's JSON."""
    if "result" in found:
        return sum(
            len(scope["spans"])
            for resource in found["result"]["resourceSpans"]
            for scope in resource["scopeSpans"]
        )
    return sum(len(trace["spans"]) for trace in found.get("data") or ())


SOURCES: Final = ("prometheus", "jaeger")
"""The uids that ``deploy/grafana/provisioning`` gives to the data sources."""


def check_grafana(check: Check) -> str:
    """Check Grafana and its data sources."""
    answer = check.get("/api/health")
    health = fields_of(answer)
    if "database" not in health:
        raise check.unrecognised(answer)
    if health["database"] != "ok":
        check.troubles.append(finding("grafana_database", health=health["database"]))
    well = [uid for uid in SOURCES if _is_well(check, uid)]
    version = f"version {health['version']}" if "version" in health else "answers"
    return ", ".join([version, *(f"data source {uid}" for uid in well)])


def _is_well(check: Check, uid: str) -> bool:
    """Return whether one data source works."""
    answer = check.get(f"/api/datasources/uid/{uid}/health")
    if answer.is_success:
        return True
    status, message = answer.status_code, fields_of(answer).get("message", "")
    words = {"uid": uid, "status": status, "option": check.option}
    if status in LOGIN_NEEDED:
        check.caution(finding("source_login", **words))
    elif status == codes.BAD_REQUEST:
        check.troubles.append(finding("source_unhealthy", message=message, **words))
    else:
        words["answer"] = f"HTTP {status} {message}".strip()
        check.troubles.append(finding("no_source", **words))
    return False


_OPEN_METRICS: Final = "application/openmetrics-text"
# The header that Prometheus sends.
_ACCEPT: Final = f"{_OPEN_METRICS};version=1.0.0,text/plain;version=0.0.4;q=0.5"
_FAMILY: Final = re.compile(r"^# TYPE ((?:otel_callbacks|gen_ai)_\w+) ", re.MULTILINE)
_EXEMPLAR: Final = re.compile(
    r"^(?:otel_callbacks|gen_ai)_.* # \{.*trace_id=", re.MULTILINE
)


def check_metrics(check: Check) -> str:
    """Scrape the app's series like Prometheus."""
    try:
        answer = check.get("", accept=_ACCEPT)
    except Trouble as trouble:
        if not trouble.finding.reason.startswith("connection refused"):
            raise
        raise Trouble(finding("app_refused", where=check.address.where)) from trouble
    if not answer.is_success:
        raise check.unrecognised(answer)
    families = set(_FAMILY.findall(answer.text))
    if not families:
        raise Trouble(finding("no_series"))
    exemplars = len(_EXEMPLAR.findall(answer.text))
    if not (answer.headers.get("Content-Type") or "").startswith(_OPEN_METRICS):
        check.caution(finding("old_format"))
    elif not exemplars:
        check.caution(finding("no_exemplars"))
    return f"{len(families)} of our series, {exemplars} exemplars"
