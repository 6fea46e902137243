"""What the Collector did with a trace that Jaeger lacks, by its own metrics.

Prometheus scrapes them; their port is not one that a machine outside can reach.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_callbacks.cli.doctor.findings import Finding, Trouble
from otel_callbacks.cli.doctor.probe import Visit
from otel_callbacks.cli.doctor.prometheus import Prometheus, calls_of_the_doctor

if TYPE_CHECKING:
    from otel_callbacks.cli._http import Address
    from otel_callbacks.cli.doctor.probe import Deadline, Sent

_TAIL_SAMPLING: Final = "otelcol_processor_tail_sampling"
# With and without the suffix that a Collector's own reader may leave out.
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
_QUEUE: Final = 'sum(otelcol_exporter_queue_size{data_type="traces"})'


class Evidence:
    """The Collector's counters before the trace was sent, and afterwards.

    Args:
        address: Where Prometheus is, or None where it is not asked.
        deadline: The time that is left.
    """

    def __init__(self, address: Address | None, deadline: Deadline) -> None:
        # Its own visit: Prometheus is a hop of its own, and says there what it has.
        visit = Visit(deadline)
        self._prometheus = Prometheus(address, visit) if address else None
        self._dropped = self._value(_DROPPED)
        self._received = self._value(_RECEIVED)
        self.calls = self._calls()

    def why_missing(self, sent: Sent, *, at_last: bool) -> Finding | None:
        """Say what became of the trace, or None if that cannot be told.

        Args:
            sent: What was sent, and when.
            at_last: Take what is likely; else only what is certain.
        """
        dropped = self._value(_DROPPED) - self._dropped
        received = self._value(_RECEIVED) - self._received
        # All that came since has been dropped, and the trace was among it.
        certain = dropped >= received and self._value(_READ_AT) > sent.wall
        if dropped > 0 and (certain or at_last):
            return Finding(
                "sampled away: since the trace was sent, the Collector's tail sampling "
                f"has dropped {dropped:.0f} of {max(received, dropped):.0f} traces",
                "Nothing is broken if that is wanted: errors, slow and expensive "
                "traces are kept. Else raise COLLECTOR_KEEP_PERCENT.",
            )
        if at_last and self._value(_QUEUE) > 0:
            return Finding(
                "the trace waits in the Collector's queue: it cannot reach Jaeger",
                "Check COLLECTOR_JAEGER_ENDPOINT, and `docker compose logs "
                "otel-collector`. Nothing is lost until the queue is full.",
            )
        return None

    def _value(self, query: str) -> float:
        """Return a number of the Collector's, 0 where there is none."""
        if self._prometheus is None:
            return 0.0
        try:
            return self._prometheus.value(query) or 0.0
        except Trouble:
            return 0.0

    def _calls(self) -> float:
        """Return how many spans of the doctor's have been counted before."""
        if self._prometheus is None:
            return 0.0
        try:
            return calls_of_the_doctor(self._prometheus)
        except Trouble:
            return 0.0
