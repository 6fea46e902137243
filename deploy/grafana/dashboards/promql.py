"""PromQL as the panels write it: which series, over which time, by which labels.

Windows: a graph asks for a step (``$__rate_interval``), a number or a table for the
whole time range of the dashboard (``$__range``). Histograms are read whether they have
buckets or are native ones (exponential ones that a process pushes over OTLP).
https://prometheus.io/docs/prometheus/latest/querying/functions/
"""

from __future__ import annotations

from typing import Final

# Two variables that the reader does not choose: they follow from service,
# environment and version.
SERVICE: Final = 'job=~"$job", instance=~"$instance"'
"""Matchers that every series of the handler has."""

# The operations that ask a model; tools and retrievals are counted as well, and
# have the dashboard of agents.
MODEL_OPERATIONS: Final = "chat|text_completion|generate_content|embeddings"

_OF_MODELS: Final = (
    'gen_ai_provider_name=~"$provider", gen_ai_request_model=~"$model", '
    'gen_ai_operation_name=~"$operation"'
)
# A label that the app chose, such as team. With none chosen the label is job and the
# values are all. A series without the label is left out as soon as one is chosen:
# better no latency than that of other teams.
_CHOSEN: Final = '$label=~"$label_value"'
CALLS: Final = f"{SERVICE}, {_OF_MODELS}, {_CHOSEN}"
"""Matchers of the series of model calls."""

CALLS_OF_ALL: Final = f"{SERVICE}, {_OF_MODELS}"
"""The same, whatever label is chosen: of what would be a false zero without it."""

SPANS_OF_SERVICE: Final = (
    'service_name=~"$service", deployment_environment_name=~"$environment"'
)
"""Matchers of what the Collector computes from the spans."""

NOT_BY_OPERATION: Final = (
    f'gen_ai_provider_name=~"$provider", gen_ai_request_model=~"$model", {_CHOSEN}'
)
"""Matchers that leave out what has no provider, model or chosen label if one of these
is chosen: spans of HTTP requests."""

SPANS_OF_CALLS: Final = f"{SPANS_OF_SERVICE}, {_OF_MODELS}, {_CHOSEN}"

MODEL: Final = "gen_ai_request_model"
PROVIDER: Final = "gen_ai_provider_name"

STEP: Final = "$__rate_interval"
RANGE: Final = "$__range"

# Computed by the Collector from all spans, before it samples, in buckets that are
# finer than those of the conventions.
SPAN_TIME: Final = "traces_span_metrics_duration_milliseconds"

_MOST_LINES: Final = 10


def _by(labels: tuple[str, ...]) -> str:
    """Write the ``by`` clause, with the blank after it."""
    return f"by ({', '.join(labels)}) " if labels else ""


def select(series: str, matchers: str = CALLS, *more: str) -> str:
    """Select a series.

    Args:
        series: The name in Prometheus' text.
        matchers: Label matchers, comma separated.
        more: Further matchers.

    Returns:
        The selector.
    """
    return f"{series}{{{', '.join(part for part in (matchers, *more) if part)}}}"


def rate(selector: str, *by: str) -> str:
    """Ask how many a second, for graphs.

    Args:
        selector: A counter.
        by: The labels to keep.

    Returns:
        The sum of the rates over ``$__rate_interval``.
    """
    return f"sum {_by(by)}(rate({selector}[{STEP}]))"


def per_minute(selector: str, *by: str) -> str:
    """Ask how many a minute, for graphs of what is rare.

    Args:
        selector: A counter.
        by: The labels to keep.

    Returns:
        The sum of the rates, a minute.
    """
    return f"60 * {rate(selector, *by)}"


def increase(selector: str, *by: str, window: str = RANGE) -> str:
    """Ask how many in the time range of the dashboard, for numbers and tables.

    Args:
        selector: A counter.
        by: The labels to keep.
        window: Another window than the dashboard's range, such as ``1h``.

    Returns:
        The sum of the increases.
    """
    return f"sum {_by(by)}(increase({selector}[{window}]))"


def whole(expression: str) -> str:
    """Round a count: Prometheus extrapolates, and 2.26 calls are a riddle.

    Args:
        expression: A number of things.

    Returns:
        The nearest whole number.
    """
    return f"round({expression})"


def or_zero(expression: str) -> str:
    """Answer 0 where nothing has been counted yet.

    Args:
        expression: A sum without labels.

    Returns:
        The sum, or 0.
    """
    return f"({expression} or vector(0))"


def top(expression: str, selector: str, *by: str) -> str:
    """Keep the ten largest of the time range: a hundred lines are not read.

    Args:
        expression: What is drawn, with the labels ``by``.
        selector: The counter that decides which are large.
        by: The labels of the lines.

    Returns:
        The expression for those that had the largest increase.
    """
    large = f"sum {_by(by)}(increase({selector}[{RANGE}] @ end()))"
    return f"{expression} and on ({', '.join(by)}) topk({_MOST_LINES}, {large})"


def largest(expression: str, most: int = 20) -> str:
    """Keep the largest rows of a table.

    Args:
        expression: What is shown.
        most: How many rows.

    Returns:
        The largest of them.
    """
    return f"topk({most}, {expression})"


def total(selector: str, *by: str) -> str:
    """Add up a gauge.

    Args:
        selector: A gauge.
        by: The labels to keep.

    Returns:
        The sum.
    """
    return f"sum {_by(by)}({selector})"


def ratio(part: str, whole: str) -> str:
    """Divide, and answer nothing (instead of NaN) where there was no traffic.

    Args:
        part: The part, with the same labels as the whole.
        whole: The whole.

    Returns:
        The quotient.
    """
    return f"{part} / ({whole} > 0)"


def share(part: str, whole: str) -> str:
    """Divide a subset by its whole, and answer 0 where the subset has no series.

    A model that never failed has no series of failures, and one that always failed
    none of successes: without the ``or`` both vanish from the panel.

    Args:
        part: The part, with the same labels as the whole.
        whole: The whole.

    Returns:
        The share, 0 to 1.
    """
    return f"({part} or {whole} * 0) / ({whole} > 0)"


def _observed(
    names: str | tuple[str, ...], matchers: str, window: str, suffix: str, native: str
) -> str:
    """Write the samples of a histogram, of each process in the kind that it has.

    One process may have buckets and the next a native histogram: ``or`` joins them
    process by process, before they are added up. A second name marks its samples, for
    a process that changed from one release of the conventions to the next.
    """
    function = _function(window)
    found = []
    for number, name in enumerate((names,) if isinstance(names, str) else names):
        samples = f"{function}({select(name + suffix, matchers)}[{window}])"
        if native:
            of_native = f"{function}({select(name, matchers)}[{window}])"
            samples = f"{samples} or {native}({of_native})"
        if number:
            samples = f'label_replace({samples}, "release", "{number}", "job", ".*")'
        found.append(samples)
    return " or ".join(found)


def _function(window: str) -> str:
    """Choose the function of a window: rates for steps, increases for the range."""
    return "rate" if window == STEP else "increase"


def counted(
    histogram: str | tuple[str, ...], matchers: str, *by: str, window: str = STEP
) -> str:
    """Ask how often something was observed, a second or in the time range.

    Args:
        histogram: The series' name without ``_count``; several where releases of the
            conventions call it otherwise.
        matchers: Label matchers.
        by: The labels to keep.
        window: ``STEP`` for graphs, ``RANGE`` for numbers and tables.

    Returns:
        The sum.
    """
    samples = _observed(histogram, matchers, window, "_count", "histogram_count")
    return f"sum {_by(by)}({samples})"


def summed(histogram: str, matchers: str, *by: str, window: str = STEP) -> str:
    """Ask for the sum of what was observed, a second or in the time range.

    Args:
        histogram: The series' name without ``_sum``.
        matchers: Label matchers.
        by: The labels to keep.
        window: ``STEP`` for graphs, ``RANGE`` for numbers and tables.

    Returns:
        The sum.
    """
    samples = _observed(histogram, matchers, window, "_sum", "histogram_sum")
    return f"sum {_by(by)}({samples})"


def mean(histogram: str, matchers: str, *by: str, window: str = STEP) -> str:
    """Divide a histogram's sum by its count.

    Args:
        histogram: The series' name.
        matchers: Label matchers.
        by: The labels to keep.
        window: ``STEP`` for graphs, ``RANGE`` for numbers and tables.

    Returns:
        The mean.
    """
    return ratio(
        summed(histogram, matchers, *by, window=window),
        counted(histogram, matchers, *by, window=window),
    )


def distribution(histogram: str, matchers: str) -> str:
    """Ask for all buckets over time, for heatmaps.

    Args:
        histogram: The series' name without ``_bucket``.
        matchers: Label matchers.

    Returns:
        One series for each ``le``, or one native histogram.
    """
    with_buckets = select(f"{histogram}_bucket", matchers)
    native = select(histogram, matchers)
    return f"sum by (le) (rate({with_buckets}[{STEP}])) or sum (rate({native}[{STEP}]))"


def quantile(
    q: float,
    histogram: str | tuple[str, ...],
    matchers: str,
    *by: str,
    window: str = STEP,
    spans: str = "",
) -> str:
    """Estimate a quantile, from the finest there is.

    Args:
        q: The quantile, 0 to 1.
        histogram: The series' name without ``_bucket``, in seconds where spans are
            given; several as in `counted`.
        matchers: Label matchers.
        by: The labels to keep beside ``le``.
        window: ``STEP`` for graphs, ``RANGE`` for numbers and tables.
        spans: Matchers of the same calls in the Collector's span metrics, whose
            buckets are finer; they have to have the labels ``by``.

    Returns:
        The quantile in the unit of the histogram: of native histograms where every
        process has them, else of the spans, else of the conventions' buckets.
    """
    native = f"sum {_by(by)}({_observed(histogram, matchers, window, '', '')})"
    buckets = _observed(histogram, matchers, window, "_bucket", "")
    with_buckets = f"sum {_by(('le', *by))}({buckets})"
    others = f"sum {_by(by)}({_observed(histogram, matchers, window, '_count', '')})"
    found = [f"(histogram_quantile({q}, {native}) unless {others} > 0)"]
    if spans:
        found.append(f"{span_quantile(q, spans, *by, window=window)} / 1000")
    found.append(f"histogram_quantile({q}, {with_buckets})")
    return " or ".join(found)


def span_quantile(q: float, matchers: str, *by: str, window: str = STEP) -> str:
    """Estimate a quantile of the length of spans.

    Args:
        q: The quantile, 0 to 1.
        matchers: Label matchers of the span metrics.
        by: The labels to keep.
        window: ``STEP`` for graphs, ``RANGE`` for numbers and tables.

    Returns:
        The quantile in milliseconds.
    """
    buckets = select(f"{SPAN_TIME}_bucket", matchers)
    summed_up = f"sum {_by(('le', *by))}({_function(window)}({buckets}[{window}]))"
    return f"histogram_quantile({q}, {summed_up})"


def named_span_quantile(
    q: float, operation: str, label: str, *, window: str = STEP
) -> str:
    """Estimate a quantile of the spans of an operation, by what the span is named for.

    Args:
        q: The quantile, 0 to 1.
        operation: ``invoke_agent``, ``execute_tool`` or ``invoke_workflow``; the
            span's name is the operation and the name.
        label: The label that the name is given as.
        window: ``STEP`` for graphs, ``RANGE`` for numbers and tables.

    Returns:
        The quantile in seconds.
    """
    matchers = f'{SPANS_OF_SERVICE}, gen_ai_operation_name="{operation}"'
    milliseconds = span_quantile(q, matchers, "span_name", window=window)
    return (
        f'sum by ({label}) (label_replace({milliseconds}, "{label}", "$1", '
        f'"span_name", "{operation} (.*)")) / 1000'
    )
