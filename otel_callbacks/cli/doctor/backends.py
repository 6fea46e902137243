"""The hops to Jaeger, Grafana and the app's series.

https://www.jaegertracing.io/docs/latest/architecture/apis/
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from otel_callbacks.cli.doctor.probe import LOGIN_NEEDED, Trouble, finding

if TYPE_CHECKING:
    from otel_callbacks.cli.doctor.probe import Check, Deadline
    from otel_callbacks.cli.doctor.prometheus import Evidence

# API v3 first: Jaeger after 2.20 has no other version.
_SERVICES: Final = (("/api/v3/services", "services"), ("/api/services", "data"))
_TRACES: Final = ("/api/v3/traces/", "/api/traces/")
_OK: Final = 200
# A trace that is sampled at once is in Jaeger well within this time.
_GRACE_SECONDS: Final = 5.0


def check_jaeger(check: Check, deadline: Deadline, evidence: Evidence) -> str:
    """Wait for the trace."""
    _recognise(check)
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


def _recognise(check: Check) -> None:
    """Raise `Trouble` unless the server is a Jaeger."""
    for path, key in _SERVICES:
        answer = check.get(path)
        found = answer.json()
        if answer.status == _OK and isinstance(found, dict) and key in found:
            return
    raise check.unrecognised(answer)


def _spans(check: Check, trace_id: str) -> int:
    """Return the number of spans of a trace."""
    for path in _TRACES:
        answer = check.get(f"{path}{trace_id}")
        if answer.status == _OK and (count := _count(answer.json())):
            return count
    return 0


def _count(found: Any) -> int:
    """Count the spans in OTLP JSON or in Jaeger's JSON."""
    if not isinstance(found, dict):
        return 0
    if "result" in found:
        return sum(
            len(scope["spans"])
            for resource in found["result"]["resourceSpans"]
            for scope in resource["scopeSpans"]
        )
    return sum(len(trace["spans"]) for trace in found.get("data") or ())


SOURCES: Final = ("prometheus", "jaeger")
"""The uids that ``deploy/grafana/provisioning`` gives to the data sources."""

_UNHEALTHY: Final = 400


def check_grafana(check: Check) -> str:
    """Check Grafana and its data sources."""
    answer = check.get("/api/health")
    health = answer.json()
    if not isinstance(health, dict) or "database" not in health:
        raise check.unrecognised(answer)
    if health["database"] != "ok":
        check.troubles.append(finding("grafana_database", health=health["database"]))
    well = [uid for uid in SOURCES if _is_well(check, uid)]
    version = f"version {health['version']}" if "version" in health else "answers"
    return ", ".join([version, *(f"data source {uid}" for uid in well)])


def _is_well(check: Check, uid: str) -> bool:
    """Return whether one data source works."""
    answer = check.get(f"/api/datasources/uid/{uid}/health")
    if answer.status == _OK:
        return True
    found = answer.json()
    message = found.get("message", "") if isinstance(found, dict) else ""
    words = {"uid": uid, "status": answer.status, "option": check.option}
    if answer.status in LOGIN_NEEDED:
        check.caution(finding("source_login", **words))
    elif answer.status == _UNHEALTHY:
        check.troubles.append(finding("source_unhealthy", message=message, **words))
    else:
        words["answer"] = f"HTTP {answer.status} {message}".strip()
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
    if answer.status != _OK:
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
