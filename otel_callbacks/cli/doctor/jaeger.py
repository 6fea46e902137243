"""The hop to Jaeger: is the trace there, and if not, who has it.

https://www.jaegertracing.io/docs/latest/architecture/apis/
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from otel_callbacks.cli.doctor.findings import Trouble
from otel_callbacks.cli.doctor.probe import Site

if TYPE_CHECKING:
    from otel_callbacks.cli._http import Address
    from otel_callbacks.cli.doctor.probe import Deadline, Visit
    from otel_callbacks.cli.doctor.sampling import Evidence

# API v3 first: Jaeger after 2.20 has no other one.
_SERVICES: Final = (("/api/v3/services", "services"), ("/api/services", "data"))
_TRACES: Final = ("/api/v3/traces/", "/api/traces/")
_OK: Final = 200
# A trace that is decided on at once is in Jaeger well within this time.
_GRACE_SECONDS: Final = 5.0


def look(
    visit: Visit,
    address: Address,
    deadline: Deadline,
    evidence: Evidence,
) -> str:
    """Wait for the trace.

    Args:
        visit: The hop.
        address: Where Jaeger is.
        deadline: How long the trace is waited for.
        evidence: Knows what the Collector did with the trace.

    Returns:
        What was seen.

    Raises:
        Trouble: Jaeger does not answer, or has no such trace; it says why.
    """
    site = Site("jaeger", address, visit)
    _recognise(site)
    if visit.sent is None:
        return "answers; no trace was sent to look for"
    sent, wanted = visit.sent, len(visit.sent.spans)
    seen = 0

    def probe() -> bool | None:
        nonlocal seen
        seen = max(seen, _spans(site, sent.trace_id))
        if seen < wanted and sent.ago > _GRACE_SECONDS:
            return True if evidence.why_missing(sent, at_last=False) else None
        return True if seen >= wanted else None

    deadline.poll(probe)
    if seen >= wanted:
        return f"the trace, with its {seen} spans"
    if seen:
        reason = f"only {seen} of {wanted} spans of the trace are there"
        remedy = "Look for refused or failed spans in the Collector's and Jaeger's log."
        raise Trouble(reason, remedy)
    finding = evidence.why_missing(sent, at_last=True)
    if finding is not None:
        raise Trouble(finding.reason, finding.remedy)
    reason = (
        f"the Collector took the trace, and Jaeger does not have it {sent.ago:.0f} s "
        "later"
    )
    remedy = (
        "Sampled away (COLLECTOR_KEEP_PERCENT), still waiting for the decision "
        "(COLLECTOR_DECISION_WAIT_AFTER_ROOT; more --timeout), or the Collector cannot "
        "reach Jaeger: `docker compose logs otel-collector` says which."
    )
    raise Trouble(reason, remedy)


def _recognise(site: Site) -> None:
    """Make sure that it is a Jaeger that answers."""
    for path, key in _SERVICES:
        answer = site.get(path)
        found = answer.json()
        if answer.status == _OK and isinstance(found, dict) and key in found:
            return
    raise site.stranger(answer)


def _spans(site: Site, trace_id: str) -> int:
    """Return how many spans of a trace there are."""
    for path in _TRACES:
        answer = site.get(f"{path}{trace_id}")
        if answer.status == _OK and (count := _count(answer.json())):
            return count
    return 0


def _count(found: Any) -> int:
    """Count the spans of OTLP's JSON, or of Jaeger's own."""
    if not isinstance(found, dict):
        return 0
    if "result" in found:
        return sum(
            len(scope["spans"])
            for resource in found["result"]["resourceSpans"]
            for scope in resource["scopeSpans"]
        )
    return sum(len(trace["spans"]) for trace in found.get("data") or ())
