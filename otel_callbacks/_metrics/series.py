"""The table of all series: names, types, units, labels, buckets.

The collector builds its output from this table; the docs, dashboards and rules are
tested against it. ``gen_ai_*`` are the metrics of OpenTelemetry's GenAI conventions
(https://github.com/open-telemetry/semantic-conventions-genai), names as Prometheus'
own translation writes them; the rest is ours.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from otel_callbacks import _semconv as semconv

Kind = Literal["counter", "histogram", "gauge"]


class Series(NamedTuple):
    """One metric: a new one is a line here, the place that counts it, docs, a test."""

    metric: str
    kind: Kind
    metric_unit: str
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def name(self) -> str:
        """The Prometheus name, by the rules of the OTLP translation."""
        unit = f"_{self.unit}" if self.unit else ""
        total = "_total" if self.kind == "counter" else ""
        return f"{label(self.metric)}{unit}{total}"

    @property
    def unit(self) -> str:
        """The Prometheus unit, empty if there is none or if it is in braces."""
        return "seconds" if self.metric_unit == "s" else ""

    @property
    def is_ours(self) -> bool:
        """Whether the series is not in the conventions."""
        return self.metric.startswith("otel_callbacks.")

    def with_labels(self, names: tuple[str, ...]) -> Series:
        """Return the series with the app's additional labels."""
        return self._replace(labels=(*self.labels, *names))


def label(attribute: str) -> str:
    """Return an attribute's name as Prometheus writes it: dots become underscores."""
    return attribute.replace(".", "_")


REGISTRY: Final = semconv.REGISTRIES[semconv.DEFAULT_REGISTRY]

BASE: Final = tuple(label(name) for name in semconv.CALL_LABELS)
_ERROR: Final = label(semconv.ERROR_TYPE)
_TOKEN: Final = label(semconv.TOKEN_TYPE)
_AGENT: Final = label(semconv.AGENT_NAME)

_SECONDS: Final = tuple(0.01 * 2**power for power in range(14))
_CALLS: Final = tuple(float(2**power) for power in range(8))
_TOKENS: Final = tuple(float(4**power) for power in range(14))


def _seconds(
    metric: str,
    help_: str,
    labels: tuple[str, ...],
    buckets: tuple[float, ...] = _SECONDS,
) -> Series:
    """Return a histogram of seconds."""
    return Series(metric, "histogram", "s", help_, labels, buckets)


def _counter(
    metric: str, unit: str, help_: str, labels: tuple[str, ...] = ()
) -> Series:
    """Return a counter."""
    return Series(metric, "counter", unit, help_, labels)


TOKEN_USAGE: Final = Series(
    "gen_ai.client.token.usage",
    "histogram",
    "{token}",
    "Tokens of one model call.",
    (*BASE, _TOKEN),
    buckets=_TOKENS,
)
OPERATION_DURATION: Final = _seconds(
    "gen_ai.client.operation.duration",
    "Seconds that one GenAI operation took.",
    (*BASE, _ERROR),
)
TIME_TO_FIRST_CHUNK: Final = _seconds(
    "gen_ai.client.operation.time_to_first_chunk",
    "Seconds from a stream's request to its first chunk.",
    BASE,
)
TIME_PER_OUTPUT_CHUNK: Final = _seconds(
    "gen_ai.client.operation.time_per_output_chunk",
    "Seconds between one chunk of a stream and the next.",
    BASE,
)
TOOL_DURATION: Final = _seconds(
    "gen_ai.execute_tool.duration",
    "Seconds that one tool call took.",
    (label(semconv.TOOL_NAME), label(semconv.TOOL_TYPE), _AGENT, _ERROR),
)
AGENT_DURATION: Final = _seconds(
    "gen_ai.invoke_agent.duration",
    "Seconds that one invocation of an agent took.",
    (_AGENT, label(semconv.REQUEST_MODEL), _ERROR),
    tuple(0.1 * 2**power for power in range(13)),
)
AGENT_CALLS: Final = Series(
    "gen_ai.invoke_agent.inference_calls",
    "histogram",
    "{inference_call}",
    "Model calls of one invocation of an agent.",
    (_AGENT,),
    buckets=_CALLS,
)
AGENT_TOOL_CALLS: Final = Series(
    "gen_ai.invoke_agent.tool_calls",
    "histogram",
    "{tool_call}",
    "Tool calls of one invocation of an agent.",
    (_AGENT,),
    buckets=_CALLS,
)
WORKFLOW_DURATION: Final = _seconds(
    REGISTRY.workflow_duration,
    "Seconds that one workflow took.",
    (label(semconv.WORKFLOW_NAME), _ERROR),
    (1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0),
)
TOKENS: Final = _counter(
    "otel_callbacks.tokens",
    "{token}",
    "Tokens that providers reported, by how the call ended.",
    (*BASE, _TOKEN, semconv.LABEL_OUTCOME),
)
TOKEN_DETAILS: Final = _counter(
    "otel_callbacks.token_details",
    "{token}",
    "Parts of the tokens above: cached, reasoning, audio. Never add them to these.",
    (*BASE, semconv.LABEL_DETAIL, semconv.LABEL_OUTCOME),
)
TOKENS_SAVED: Final = _counter(
    "otel_callbacks.tokens_saved",
    "{token}",
    "Tokens that were not spent because a cache answered.",
    (*BASE, _TOKEN, semconv.LABEL_REASON),
)
COST: Final = _counter(
    "otel_callbacks.cost_usd",
    # In braces, because the unit USD would add the suffix _USD to the name.
    "{USD}",
    "US dollars that model calls cost, by how the call ended.",
    (*BASE, semconv.LABEL_OUTCOME),
)
COST_SAVED: Final = _counter(
    "otel_callbacks.cost_saved_usd",
    "{USD}",
    "US dollars that were not spent because a cache answered.",
    (*BASE, semconv.LABEL_REASON),
)
OPERATIONS: Final = _counter(
    "otel_callbacks.operations",
    "{operation}",
    "Operations that ended, by how they ended.",
    (*BASE, semconv.LABEL_OUTCOME, semconv.LABEL_ERROR_CLASS),
)
DOCUMENTS: Final = _counter(
    "otel_callbacks.documents",
    "{document}",
    "Documents that retrievers found.",
    (label(semconv.DATA_SOURCE_ID),),
)
UNPRICED: Final = _counter(
    "otel_callbacks.unpriced_tokens",
    "{token}",
    "Tokens of models without a known price: they are missing in the cost.",
    (label(semconv.PROVIDER_NAME), label(semconv.REQUEST_MODEL)),
)
PARTLY_PRICED: Final = _counter(
    "otel_callbacks.partly_priced_operations",
    "{operation}",
    "Calls that cost more than is known: a part of them has no price.",
    (label(semconv.PROVIDER_NAME), label(semconv.REQUEST_MODEL)),
)
IN_FLIGHT: Final = Series(
    "otel_callbacks.operations_in_flight",
    "gauge",
    "{operation}",
    "Operations that have started and not ended.",
    (BASE[0], BASE[1], BASE[2]),
)
RUNS_LOST: Final = _counter(
    "otel_callbacks.runs_lost",
    "{run}",
    "Runs whose end LangChain never reported, by how that was found out.",
    (semconv.LABEL_REASON,),
)
ERRORS: Final = _counter(
    "otel_callbacks.errors",
    "{error}",
    "Failures of the telemetry itself, by place; the app went on.",
    (semconv.LABEL_WHERE,),
)
USAGE_MISSING: Final = _counter(
    "otel_callbacks.usage_missing",
    "{call}",
    "Model calls that ended well without the provider saying their tokens.",
)
LABELS_OVERFLOWED: Final = _counter(
    "otel_callbacks.labels_overflowed",
    "{value}",
    "Values put into 'other' because a label, or a series, had reached its limit.",
    (semconv.LABEL_LABEL,),
)
BUDGET_EXCEEDED: Final = _counter(
    "otel_callbacks.budget_exceeded",
    "{call}",
    "Model calls that a budget refused or warned of.",
    (semconv.LABEL_BUDGET, semconv.LABEL_ACTION),
)
OPEN_RUNS: Final = Series(
    "otel_callbacks.open_runs",
    "gauge",
    "{run}",
    "Runs in the table of open runs, chains too.",
)

# Series of spend, with the labels that the app chooses.
SPEND: Final = (TOKENS, TOKEN_DETAILS, TOKENS_SAVED, COST, COST_SAVED, OPERATIONS)

# Series about the handler itself: counted elsewhere and read at a scrape. The first is
# read first, so that all show the same moment.
ABOUT: Final = (
    IN_FLIGHT,
    RUNS_LOST,
    ERRORS,
    USAGE_MISSING,
    LABELS_OVERFLOWED,
    BUDGET_EXCEEDED,
    OPEN_RUNS,
)


def workflow_duration(registry: semconv.Registry) -> Series:
    """Return the series of workflows by its name in a registry."""
    return WORKFLOW_DURATION._replace(metric=registry.workflow_duration)


def series_of(registry: semconv.Registry) -> tuple[Series, ...]:
    """Return all series by their names in a registry."""
    workflow = workflow_duration(registry)
    return tuple(workflow if one is WORKFLOW_DURATION else one for one in SERIES)


SERIES: Final = tuple(one for one in (*globals().values(),) if isinstance(one, Series))
"""All of them, in the order above, by their names in the registry that is usual."""

# Attributes by label; other labels are chosen by the app, with one name for both.
ATTRIBUTES: Final = {name: f"{semconv.OURS}{name}" for name in semconv.OUR_LABELS} | {
    label(name): name
    for name in (
        *semconv.CALL_LABELS,
        semconv.ERROR_TYPE,
        semconv.TOKEN_TYPE,
        semconv.AGENT_NAME,
        semconv.TOOL_NAME,
        semconv.TOOL_TYPE,
        semconv.WORKFLOW_NAME,
        semconv.DATA_SOURCE_ID,
        semconv.PROMPT_NAME,
        semconv.PROMPT_VERSION,
    )
}
