"""Telemetry health, the rows of the Collector, by its own metrics.

https://opentelemetry.io/docs/collector/internal-telemetry/
"""

from __future__ import annotations

from typing import Final

from dashboards.frame import Row
from dashboards.panels import NO_FAILURES, lines, steps
from dashboards.promql import rate, select, share, total
from dashboards.targets import PrometheusQuery, over_time

_ITEMS: Final = ("spans", "metric_points", "log_records")
_NONE: Final = "Nothing has come to the Collector"
# Jaeger has a Collector inside, with series of the same names.
_JOB: Final = 'job=~"$collector"'


def _each(stem: str, *by: str, legend: str) -> list[PrometheusQuery]:
    """Ask for a counter of all three signals.

    One query for each: a rate over several names at once is refused where two of them
    have the same labels.
    """
    return [
        over_time(
            rate(select(f"otelcol_{stem}_{item}_total", _JOB), *by),
            f"{legend} {item}".strip(),
        )
        for item in _ITEMS
    ]


def arriving() -> Row:
    """Show what comes to the Collector.

    Returns:
        The row.
    """
    memory = select("otelcol_process_memory_rss_bytes", _JOB)
    return Row(
        "Collector: what comes in",
        [
            lines(
                "Accepted",
                "Spans, metric points and log records.",
                *_each("receiver_accepted", legend=""),
                unit="suffix: items/s",
                empty=_NONE,
            ),
            lines(
                "Refused",
                "Items that the Collector did not take: its memory limit, "
                "or a full queue. Applications send them again for a while.",
                *_each(
                    *("receiver_refused", "receiver", "transport"),
                    legend="{{receiver}} {{transport}}",
                ),
                unit="suffix: items/s",
                empty=NO_FAILURES,
            ),
            lines(
                "Memory of the Collector",
                "Resident memory. At 80 % of its limit it refuses data rather than "
                "be killed.",
                over_time(f"max by (instance) ({memory})", "{{instance}}"),
                unit="bytes",
                empty=_NONE,
            ),
            lines(
                "Processor time of the Collector",
                "Seconds of processor time a second: 1 is one core.",
                over_time(
                    rate(select("otelcol_process_cpu_seconds_total", _JOB), "instance"),
                    "{{instance}}",
                ),
                unit="suffix: cores",
                empty=_NONE,
            ),
        ],
    )


def leaving() -> Row:
    """Show what leaves the Collector, and what waits.

    Returns:
        The row.
    """
    by = ("exporter", "data_type")
    size = total(select("otelcol_exporter_queue_size", _JOB), *by)
    capacity = total(select("otelcol_exporter_queue_capacity", _JOB), *by)
    return Row(
        "Collector: what goes out",
        [
            lines(
                "Sent",
                "Items, by where they go.",
                *_each("exporter_sent", "exporter", legend="{{exporter}}"),
                unit="suffix: items/s",
                empty=_NONE,
            ),
            lines(
                "Failed to send",
                "Items that were given up: refused for good, or no room "
                "in the queue. These are lost.",
                *_each("exporter_send_failed", "exporter", legend="{{exporter}} sent"),
                *_each(
                    "exporter_enqueue_failed", "exporter", legend="{{exporter}} queued"
                ),
                unit="suffix: items/s",
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
    kept = select(
        "otelcol_processor_tail_sampling_global_count_traces_sampled_total", _JOB
    )
    policies = "otelcol_processor_tail_sampling_count_traces_sampled_total"
    early = select(
        "otelcol_processor_tail_sampling_sampling_trace_dropped_too_early_total", _JOB
    )
    held = select("otelcol_processor_tail_sampling_sampling_traces_on_memory", _JOB)
    return Row(
        "Collector: tail sampling",
        [
            lines(
                "Traces decided",
                "Traces: true is kept, false is dropped. Errors, slow "
                "and expensive ones are always kept.",
                over_time(rate(kept, "sampled"), "kept: {{sampled}}"),
                unit="suffix: traces/s",
                empty=_NONE,
            ),
            lines(
                "Traces kept by policy",
                "Traces that a policy wanted.",
                over_time(
                    rate(select(policies, _JOB, 'sampled="true"'), "policy"),
                    "{{policy}}",
                ),
                empty=_NONE,
            ),
            lines(
                "Dropped before the decision",
                "Traces that left memory before their time was up: raise "
                "COLLECTOR_OPEN_TRACES.",
                over_time(rate(early), "dropped"),
                unit="suffix: traces/s",
                empty=NO_FAILURES,
            ),
            lines(
                "Traces in memory",
                "Traces that wait for their decision.",
                over_time(f"max by (instance) ({held})", "{{instance}}"),
                unit="suffix: traces",
                empty=_NONE,
            ),
        ],
    )
