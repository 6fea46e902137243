"""Telemetry health, the rows of the Collector, by its own metrics.

https://opentelemetry.io/docs/collector/internal-telemetry/
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dashboards.panels import NO_FAILURES, lines, steps
from dashboards.promql import rate, share
from dashboards.targets import over_time

if TYPE_CHECKING:
    from dashboards.frame import Row

_ITEMS: Final = ("spans", "metric_points", "log_records")
_NONE: Final = "Nothing has come to the Collector"


def _each(stem: str) -> str:
    """Select a counter of all three signals."""
    return f'{{__name__=~"otelcol_{stem}_({"|".join(_ITEMS)})_total"}}'


def arriving() -> Row:
    """Show what comes to the Collector.

    Returns:
        The row.
    """
    return (
        "Collector: what comes in",
        [
            lines(
                "Accepted",
                "Spans, metric points and log records in a second.",
                *(
                    over_time(rate(f"otelcol_receiver_accepted_{item}_total"), item)
                    for item in _ITEMS
                ),
                empty=_NONE,
            ),
            lines(
                "Refused",
                "Items in a second that the Collector did not take: its memory limit, "
                "or a full queue. Applications send them again for a while.",
                over_time(
                    rate(_each("receiver_refused"), "receiver", "transport"),
                    "{{receiver}} {{transport}}",
                ),
                empty=NO_FAILURES,
            ),
            lines(
                "Memory of the Collector",
                "Resident memory. At 80 % of its limit it refuses data rather than "
                "be killed.",
                over_time("max by (instance) (otelcol_process_memory_rss_bytes)"),
                unit="bytes",
                empty=_NONE,
            ),
            lines(
                "Processor time of the Collector",
                "Seconds of processor time in a second: 1 is one core.",
                over_time(rate("otelcol_process_cpu_seconds_total", "instance")),
                unit="short",
                empty=_NONE,
            ),
        ],
    )


def leaving() -> Row:
    """Show what leaves the Collector, and what waits.

    Returns:
        The row.
    """
    size = "sum by (exporter, data_type) (otelcol_exporter_queue_size)"
    capacity = "sum by (exporter, data_type) (otelcol_exporter_queue_capacity)"
    return (
        "Collector: what goes out",
        [
            lines(
                "Sent",
                "Items in a second, by where they go.",
                over_time(rate(_each("exporter_sent"), "exporter"), "{{exporter}}"),
                empty=_NONE,
            ),
            lines(
                "Failed to send",
                "Items in a second that were given up: refused for good, or no room "
                "in the queue. These are lost.",
                over_time(
                    rate(_each("exporter_(send|enqueue)_failed"), "exporter"),
                    "{{exporter}}",
                ),
                empty=NO_FAILURES,
            ),
            lines(
                "Queues",
                "How full. The queue is on disk and survives a restart; a full one "
                "refuses.",
                over_time(share(size, capacity), "{{data_type}} to {{exporter}}"),
                unit="percentunit",
                thresholds=steps((0.8, "red")),
                empty=_NONE,
            ),
        ],
    )


def sampling() -> Row:
    """Show which traces the Collector keeps.

    Returns:
        The row.
    """
    kept = "otelcol_processor_tail_sampling_global_count_traces_sampled_total"
    policies = "otelcol_processor_tail_sampling_count_traces_sampled_total"
    early = "otelcol_processor_tail_sampling_sampling_trace_dropped_too_early_total"
    held = "otelcol_processor_tail_sampling_sampling_traces_on_memory"
    return (
        "Collector: tail sampling",
        [
            lines(
                "Traces decided",
                "Traces in a second: true is kept, false is dropped. Errors, slow "
                "and expensive ones are always kept.",
                over_time(rate(kept, "sampled"), "kept: {{sampled}}"),
                empty=_NONE,
            ),
            lines(
                "Traces kept by policy",
                "Traces in a second that a policy wanted.",
                over_time(
                    rate(f'{policies}{{sampled="true"}}', "policy"), "{{policy}}"
                ),
                empty=_NONE,
            ),
            lines(
                "Dropped before the decision",
                "Traces in a second that left memory before their time was up: raise "
                "COLLECTOR_OPEN_TRACES.",
                over_time(rate(early), "dropped"),
                empty=NO_FAILURES,
            ),
            lines(
                "Traces in memory",
                "Traces that wait for their decision.",
                over_time(f"max by (instance) ({held})", "{{instance}}"),
                empty=_NONE,
            ),
        ],
    )
