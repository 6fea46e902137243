"""The examination: every hop in the order of the chain, within the time there is."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from otel_callbacks.cli.doctor import chain as doctor_chain
from otel_callbacks.cli.doctor import collector as doctor_collector
from otel_callbacks.cli.doctor import grafana as doctor_grafana
from otel_callbacks.cli.doctor import instrumentations as doctor_instrumentations
from otel_callbacks.cli.doctor import jaeger as doctor_jaeger
from otel_callbacks.cli.doctor import metrics as doctor_metrics
from otel_callbacks.cli.doctor import prometheus as doctor_prometheus
from otel_callbacks.cli.doctor.findings import Hop, Report, Trouble
from otel_callbacks.cli.doctor.probe import Deadline, Sent, Visit
from otel_callbacks.cli.doctor.sampling import Evidence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from opentelemetry.sdk.trace import ReadableSpan

    from otel_callbacks.cli._http import Address
    from otel_callbacks.cli.doctor.addresses import Addresses
    from otel_callbacks.cli.doctor.findings import State
    from otel_callbacks.settings import Settings

HOPS: Final = ("handler", "collector", "jaeger", "metrics", "prometheus", "grafana")
"""The hops, in the order of the chain."""

_FOLLOW_THE_TRACE: Final = frozenset({"collector", "jaeger", "prometheus"})
# Prometheus and Grafana want a part of the time, too.
_JAEGERS_SHARE: Final = 0.5


@dataclass(slots=True)
class Examination:
    """One examination.

    Args:
        addresses: Where the servers are.
        settings: The handler's settings.
        skip: What to leave out.
        seconds: How long all may take.
    """

    addresses: Addresses
    settings: Settings
    skip: frozenset[str]
    seconds: float
    _deadline: Deadline = field(init=False)
    _evidence: Evidence = field(init=False)
    _instance: str = field(init=False)
    _spans: Sequence[ReadableSpan] = field(init=False, default=())
    _sent: Sent | None = field(init=False, default=None)

    def report(
        self,
        begins: Callable[[str], None] = lambda _: None,
        ended: Callable[[Hop], None] = lambda _: None,
    ) -> Report:
        """Look at all hops.

        Args:
            begins: Told the name of each hop that is looked at now.
            ended: Told of each hop when it is over.
        """
        began = time.monotonic()
        self._deadline = Deadline(self.seconds)
        self._instance = uuid.uuid4().hex
        asked = None if "prometheus" in self.skip else self.addresses.prometheus
        self._evidence = Evidence(asked, self._deadline)
        hops = []
        for name, address, look in self._looks():
            begins(name)
            hop = self._hop(name, address, look)
            ended(hop)
            hops.append(hop)
        trace = self._sent.trace_id if self._sent else ""
        seconds = time.monotonic() - began
        service = doctor_chain.SERVICE
        return Report(service, self._instance, trace, seconds, tuple(hops))

    def _looks(
        self,
    ) -> Iterator[tuple[str, Address | None, Callable[[Visit], str]]]:
        """Yield each hop's name, its address, and what looks at it."""
        where = self.addresses
        yield "handler", None, self._handler
        yield "collector", where.collector, self._collector
        yield "jaeger", where.jaeger, self._jaeger
        yield "metrics", where.metrics, self._metrics
        yield "prometheus", where.prometheus, self._prometheus
        yield (
            "grafana",
            where.grafana,
            lambda visit: doctor_grafana.look(visit, where.grafana),
        )

    def _hop(
        self, name: str, address: Address | None, look: Callable[[Visit], str]
    ) -> Hop:
        """Look at one hop, or leave it out."""
        url = address.url if address else ""
        if name in self.skip:
            return Hop(name=name, state="skipped", address=url)
        if name == "metrics" and address is None:
            saw = "OTEL_METRICS_EXPORTER=none"
            return Hop(name=name, state="skipped", saw=saw)
        visit = Visit(self._deadline, self._sent)
        began = time.monotonic()
        saw = ""
        try:
            saw = look(visit)
        except Trouble as trouble:
            visit.troubles.append(trouble.finding)
        state: State = "reached"
        if visit.troubles:
            state = "broken"
        elif name in _FOLLOW_THE_TRACE and self._sent is None:
            state = "answers"
        return Hop(
            name=name,
            state=state,
            address=url,
            saw=saw,
            seconds=time.monotonic() - began,
            troubles=tuple(visit.troubles),
            cautions=tuple(visit.cautions),
        )

    def _handler(self, visit: Visit) -> str:
        """Run the fake chain."""
        doctor_instrumentations.look_for_others(visit)
        self._spans = doctor_chain.run_chain(visit, self._instance, self.settings)
        return f"{len(self._spans)} spans of a fake chain"

    def _collector(self, visit: Visit) -> str:
        """Send the spans; without any, see whether somebody takes them."""
        protocol = self.settings.protocol_of("traces")
        if not self._spans:
            address = self.addresses.collector
            word = doctor_collector.greet(visit, address, protocol)
            return f"{protocol}; {word.said}; no trace was there to send"
        self._sent = doctor_collector.send(visit, self.addresses, protocol, self._spans)
        return f"{protocol}; it took the trace"

    def _jaeger(self, visit: Visit) -> str:
        """Wait for the trace."""
        part = _JAEGERS_SHARE if "prometheus" not in self.skip else 1.0
        deadline = self._deadline.share(part)
        return doctor_jaeger.look(
            visit, self.addresses.jaeger, deadline, self._evidence
        )

    def _metrics(self, visit: Visit) -> str:
        """Read the app's series."""
        address = self.addresses.metrics
        return doctor_metrics.look(visit, address) if address else ""

    def _prometheus(self, visit: Visit) -> str:
        """Look for the app's series and the trace's span metrics."""
        wanted = None if "metrics" in self.skip else self.addresses.metrics
        return doctor_prometheus.look(
            visit,
            self.addresses.prometheus,
            wanted,
            self._evidence.calls,
            span_metrics="span-metrics" not in self.skip,
        )
