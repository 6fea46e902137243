"""Telemetry health: whether the numbers on the other dashboards can be trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dashboards.frame import Row, assemble, text
from dashboards.health_collector import arriving, leaving, sampling
from dashboards.panels import NO_FAILURES, bars, lines, number, steps
from dashboards.promql import SERVICE, increase, per_minute, select, total, whole
from dashboards.series import MISSING as _MISSING
from dashboards.series import OPEN_RUNS as _OPEN
from dashboards.tables import Column, numbers
from dashboards.targets import now, over_time

if TYPE_CHECKING:
    from grafana_foundation_sdk.models.dashboard import Dashboard

_LOST: Final = select("otel_callbacks_runs_lost_total", SERVICE)
# As in the alert LLMRunsLost.
_LEAKED: Final = select(
    "otel_callbacks_runs_lost_total",
    SERVICE,
    'reason!~"forgotten|task_cancelled|parent_ended|closed"',
)
_ERRORS: Final = select("otel_callbacks_errors_total", SERVICE)
_UNPRICED: Final = select("otel_callbacks_unpriced_tokens_total", SERVICE)
_OVERFLOWED: Final = select("otel_callbacks_labels_overflowed_total", SERVICE)

_ANY: Final = steps((1, "yellow"))
_BAD: Final = steps((1, "red"))
_OURS: Final = f'{{__name__=~"otel_callbacks_.+|gen_ai_.+", {SERVICE}}}'


def _handler() -> Row:
    """What the handler says about itself."""
    return Row(
        "Handler",
        [
            number(
                "Open runs",
                "Runs in the table, chains too. One that only rises is a leak: runs "
                "that never end and that no limit has caught yet.",
                total(_OPEN),
                empty="No application is scraped",
            ),
            number(
                "Runs that leaked",
                "Runs that never ended by a callback and were ended by a limit of the "
                "handler, or by a second run with their id. Cancelled calls, dropped "
                "streams and the end of a process are usual and not counted here: see "
                "Lost runs by reason.",
                whole(increase(_LEAKED)),
                thresholds=_ANY,
                empty="None",
            ),
            number(
                "Errors inside",
                "A parser or sink of the handler failed. The application went on; "
                "its log has the traceback.",
                whole(increase(_ERRORS)),
                thresholds=_BAD,
                empty="None",
            ),
            number(
                "Usage missing",
                "Calls whose provider did not say the tokens.",
                whole(increase(_MISSING)),
                thresholds=_ANY,
                empty="None",
            ),
            number(
                "Tokens without a price",
                "Tokens of models that the price list does not have.",
                whole(increase(_UNPRICED)),
                thresholds=_ANY,
                empty="None",
            ),
            number(
                "Labels overflowed",
                "Values beyond a label's limit, counted as other.",
                whole(increase(_OVERFLOWED)),
                thresholds=_ANY,
                empty="None",
            ),
            lines(
                "Open runs by process",
                "Runs that have started and not ended.",
                over_time(total(_OPEN, "job", "instance"), "{{job}} {{instance}}"),
                unit="suffix: runs",
                empty="No application is scraped",
            ),
            lines(
                "Lost runs by reason",
                "Runs by what ended them in place of a callback. forgotten, "
                "task_cancelled, parent_ended and closed are usual: cancelled calls, "
                "dropped streams, the end of a process.",
                over_time(per_minute(_LOST, "reason"), "{{reason}}"),
                unit="suffix: runs/min",
                empty=NO_FAILURES,
                stacked=True,
            ),
            lines(
                "Errors inside by place",
                "Failures by the part of the handler.",
                over_time(per_minute(_ERRORS, "where"), "{{where}}"),
                unit="suffix: errors/min",
                empty=NO_FAILURES,
                stacked=True,
            ),
            lines(
                "Overflow by label",
                "Values that a label's limit refused. Raise the limit or take the "
                "label away.",
                over_time(per_minute(_OVERFLOWED, "label"), "{{label}}"),
                unit="suffix: values/min",
                empty=NO_FAILURES,
                stacked=True,
            ),
        ],
    )


def _processes() -> str:
    """Join the open runs of each process with who it is."""
    by = "service_name, service_version, deployment_environment_name, job, instance"
    open_runs = total(_OPEN, "job", "instance")
    return (
        f"sum by ({by}) (instance:otel_callbacks_service:info"
        f"{{{SERVICE}}} * on (job, instance) group_left () {open_runs})"
    )


def _scrapes() -> Row:
    """Whether Prometheus reads everyone, and how much it reads."""
    return Row(
        "Prometheus",
        [
            lines(
                "Targets that answer",
                "1: read; 0: down, and everything of this target stands still.",
                over_time("min by (job, instance) (up)", "{{job}} {{instance}}"),
                empty="No targets",
            ),
            lines(
                "Duration of scrapes",
                "Seconds that reading a target took.",
                over_time(
                    "max by (job, instance) (scrape_duration_seconds)",
                    "{{job}} {{instance}}",
                ),
                unit="s",
                empty="No targets",
            ),
            lines(
                "Samples of a scrape",
                "How many series a target has. A number that only rises is a label "
                "without bound.",
                over_time(
                    "sum by (job, instance) (scrape_samples_scraped)",
                    "{{job}} {{instance}}",
                ),
                empty="No targets",
            ),
            bars(
                "Largest series of the application",
                "How many combinations of labels each series has, buckets included.",
                now(f"topk(15, count by (__name__) ({_OURS}))", "{{__name__}}"),
            ),
            numbers(
                "Processes",
                "Who is who: every process of the chosen services, as it named itself.",
                Column("Open runs", _processes()),
                empty="No application is scraped",
            ),
            numbers(
                "Alerts that fire",
                "Rules of deploy/prometheus/rules; each alert's runbook says what to "
                "do.",
                Column(
                    "Firing",
                    'count by (alertname, severity) (ALERTS{alertstate="firing"})',
                ),
                empty="No alert fires",
            ),
        ],
    )


def build() -> Dashboard:
    """Build the dashboard of telemetry health.

    Returns:
        The dashboard with uid ``otel-callbacks-health``.
    """
    return assemble(
        "otel-callbacks-health",
        "Telemetry health",
        "Handler, Collector, Jaeger and Prometheus: is anything lost, refused, "
        "sampled away or without bound?",
        [_handler(), _scrapes(), arriving(), leaving(), sampling()],
        more=[
            text(
                "collector",
                "Collector",
                "The scrape job of the Collector.",
                "otel-collector",
            )
        ],
    )
