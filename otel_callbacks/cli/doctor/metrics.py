"""The hop to the app's ``/metrics``: our series, and exemplars, as a scrape gets them.

https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from otel_callbacks.cli.doctor.findings import Trouble
from otel_callbacks.cli.doctor.probe import Site

if TYPE_CHECKING:
    from otel_callbacks.cli._http import Address
    from otel_callbacks.cli.doctor.probe import Visit

_OPEN_METRICS: Final = "application/openmetrics-text"
# What Prometheus asks for.
_ACCEPT: Final = f"{_OPEN_METRICS};version=1.0.0,text/plain;version=0.0.4;q=0.5"
_FAMILY: Final = re.compile(r"^# TYPE ((?:otel_callbacks|gen_ai)_\w+) ", re.MULTILINE)
_EXEMPLAR: Final = re.compile(
    r"^(?:otel_callbacks|gen_ai)_.* # \{.*trace_id=", re.MULTILINE
)
_OK: Final = 200


def look(visit: Visit, address: Address) -> str:
    """Read the app's series as Prometheus does.

    Args:
        visit: The hop.
        address: Where they are.

    Returns:
        What was seen.

    Raises:
        Trouble: The address does not answer, or has none of our series.
    """
    site = Site("metrics", address, visit)
    try:
        answer = site.get("", accept=_ACCEPT)
    except Trouble as trouble:
        if "refused" not in trouble.finding.reason:
            raise
        remedy = (
            "Start the app: configure() serves it, on OTEL_EXPORTER_PROMETHEUS_HOST "
            "and _PORT. Else say where it is, --metrics URL, or --skip metrics."
        )
        raise Trouble(trouble.finding.reason, remedy) from trouble
    if answer.status != _OK:
        raise site.stranger(answer)
    families = set(_FAMILY.findall(answer.text))
    if not families:
        reason = "it answers, and has none of our series"
        remedy = (
            "Is it another app's port? Else the registry that it shows is not the "
            "handler's: OTelCallbackHandler(registry=...)."
        )
        raise Trouble(reason, remedy)
    exemplars = len(_EXEMPLAR.findall(answer.text))
    if not (answer.headers.get("Content-Type") or "").startswith(_OPEN_METRICS):
        visit.caution(
            "it answers in the old text format, which has no exemplars",
            "Serve it with prometheus_client's make_asgi_app, make_wsgi_app or "
            "start_http_server, which answer as they are asked.",
        )
    elif not exemplars:
        visit.caution(
            "no exemplars: no dot of a graph leads to its trace yet",
            "They come with the first model call whose span is sampled; never in "
            "prometheus_client's multiprocess mode, where metrics go over OTLP.",
        )
    return f"{len(families)} of our series, {exemplars} exemplars"
