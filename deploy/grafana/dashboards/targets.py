"""What a panel asks: Prometheus over time, Prometheus now, or Jaeger for traces."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders import prometheus
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import dashboard as model

METRICS: Final = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
TRACES: Final = model.DataSourceRef(type_val="jaeger", uid="${jaeger}")

# Jaeger's own page of a trace: a viewer may open it, while Grafana's Explore asks
# for the right of an editor.
TRACE_URL: Final = "${jaeger_url}/trace/${__value.raw}"

# ${...:percentencode} is Grafana's way to quote a variable inside an address.
SEARCH_URL: Final = (
    "${jaeger_url}/search?service=${trace_service:percentencode}"
    # Jaeger counts microseconds, Grafana milliseconds.
    "&lookback=custom&start=${__from}000&end=${__to}000&limit=50"
)
MONITOR_URL: Final = (
    # Model calls are CLIENT spans; the page shows SERVER spans unless it is told.
    "${jaeger_url}/monitor?service=${trace_service:percentencode}&spanKind=client"
)
MODEL_SEARCH_URL: Final = (
    SEARCH_URL + "&tags=%7B%22gen_ai.request.model%22%3A%22"
    "${__field.labels.gen_ai_request_model}%22%7D"
)

PrometheusQuery = prometheus.Dataquery


def over_time(
    expression: str, legend: str = "", *, exemplars: bool = False
) -> PrometheusQuery:
    """Ask Prometheus over time.

    Args:
        expression: PromQL.
        legend: The legend, with ``{{label}}`` in it.
        exemplars: Whether the dots of single traces are drawn too.

    Returns:
        The query.
    """
    built = prometheus.Dataquery().expr(expression).range().exemplar(exemplars)
    return built.legend_format(legend or "__auto").datasource(METRICS)


def now(expression: str, legend: str = "") -> PrometheusQuery:
    """Ask Prometheus once, at the end of the time range.

    Args:
        expression: PromQL.
        legend: The legend, with ``{{label}}`` in it.

    Returns:
        The query.
    """
    built = prometheus.Dataquery().expr(expression).instant()
    return built.legend_format(legend or "__auto").datasource(METRICS)


def lettered(queries: tuple[PrometheusQuery, ...]) -> list[PrometheusQuery]:
    """Name the queries A, B, C: Grafana needs distinct references.

    Args:
        queries: The queries of one panel.

    Returns:
        The same queries.
    """
    return [query.ref_id(chr(ord("A") + at)) for at, query in enumerate(queries)]


class TraceSearch(Dataquery):
    """A search of the Jaeger data source, for which the SDK has no builder.

    Fields: https://grafana.com/docs/grafana/latest/datasources/jaeger/query-editor/

    Args:
        tags: Tags in logfmt, such as ``error=true``.
        operation: Name of a span.
        min_duration: The shortest trace wanted, such as ``5s``.
        limit: How many traces, newest first.
    """

    def __init__(
        self,
        *,
        tags: str = "",
        operation: str = "",
        min_duration: str = "",
        limit: int = 50,
    ) -> None:
        self._tags = tags
        self._operation = operation
        self._min_duration = min_duration
        self._limit = limit

    def to_json(self) -> dict[str, object]:
        """Write the query as the data source reads it."""
        wanted = {
            "tags": self._tags,
            "operation": self._operation,
            "minDuration": self._min_duration,
        }
        return {
            "refId": "A",
            "datasource": TRACES,
            "queryType": "search",
            "service": "$trace_service",
            "limit": self._limit,
            **{key: value for key, value in wanted.items() if value},
        }


class TraceQuery(Builder[Dataquery]):
    """The builder around a search, as panels take builders.

    Args:
        search: The search.
    """

    def __init__(self, search: TraceSearch) -> None:
        self._search = search

    def build(self) -> Dataquery:
        """Hand over the search."""
        return self._search
