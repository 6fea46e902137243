"""The number of series of one process, by models, tools, agents and labels.

``python benchmarks/series.py`` prints the table of docs/metrics-export.md: lines of a
scrape, and points of a push, with buckets and with exponential
histograms. Each line is one series in Prometheus; a native histogram is one as well.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from langchain_core.runnables import RunnableLambda
from langchain_core.tools import StructuredTool
from opentelemetry.sdk.metrics import Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry

from otel_callbacks import OTelCallbackHandler, Settings
from otel_callbacks.testing import FakeChatModel

if TYPE_CHECKING:
    from collections.abc import Iterator

_USAGE: Final[Any] = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}


class App(NamedTuple):
    """The parts of an app."""

    models: int = 1
    tools: int = 0
    agents: int = 0
    teams: int = 0


APPS: Final = (
    App(1),
    App(2),
    App(5),
    App(5, tools=5),
    App(5, tools=5, agents=3),
    App(5, tools=5, agents=3, teams=10),
)


def count(app: App) -> tuple[int, int, int]:
    """Return the lines of a scrape and the points of both kinds of push.

    Args:
        app: The app.
    """
    return _lines(app), _pushed(app, {}), _pushed(app, _exponential())


def _exponential() -> dict[type, Any]:
    """Return the SDK's choice of exponential histograms."""
    return {Histogram: ExponentialBucketHistogramAggregation()}


def _lines(app: App) -> int:
    """Count the samples of a scrape, without the ``_created`` ones."""
    registry = CollectorRegistry()
    _play(app, registry=registry, settings=Settings(labels=_labels(app)))
    return sum(
        not sample.name.endswith("_created")
        for family in registry.collect()
        for sample in family.samples
    )


def _pushed(app: App, aggregation: dict[type, Any]) -> int:
    """Count the series of a push in Prometheus."""
    reader = InMemoryMetricReader(preferred_aggregation=aggregation)
    provider = MeterProvider([reader], shutdown_on_exit=False)
    settings = Settings(labels=_labels(app), metrics_exporter="otlp")
    registry = CollectorRegistry()
    _play(app, meter_provider=provider, registry=registry, settings=settings)
    data = reader.get_metrics_data()
    return sum(
        len(point.bucket_counts) + 2 if hasattr(point, "bucket_counts") else 1
        for resource in (data.resource_metrics if data else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
    )


def _labels(app: App) -> str:
    """Return the setting for labels: ``team`` if the app has teams."""
    return "team" if app.teams else ""


def _play(app: App, **where: Any) -> None:
    """Make each call of the app once: answered, streamed and failed."""
    handler = OTelCallbackHandler(
        tracer_provider=TracerProvider(shutdown_on_exit=False), **where
    )
    for about in _abouts(app):
        config: Any = {"callbacks": [handler], "metadata": about}
        for number in range(app.models):
            model = FakeChatModel(usage=_USAGE, model_name=f"m{number}")
            model.invoke("?", config)
            list(model.stream("?", config))
        for number in range(app.tools):
            name = f"t{number}"
            tool = StructuredTool.from_function(_nothing, name=name, description="x")
            tool.invoke({}, config)
    for number in range(app.agents):
        name = f"a{number}"
        made = {"ls_integration": "langchain_create_agent", "lc_agent_name": name}
        named: Any = {"callbacks": [handler], "metadata": made, "run_name": name}
        RunnableLambda(lambda text: text).invoke("?", named)


def _abouts(app: App) -> Iterator[dict[str, str]]:
    """Yield the metadata of each team."""
    yield from ({"team": f"team{number}"} for number in range(app.teams or 1))


def _nothing() -> str:
    """Return a short text."""
    return ""


def main() -> None:
    """Print the table."""
    write = sys.stdout.write
    write(
        "| models | tools | agents | teams | scraped | pushed | pushed, exponential |\n"
    )
    write("|---|---|---|---|---|---|---|\n")
    for app in APPS:
        write("| " + " | ".join(map(str, (*app, *count(app)))) + " |\n")


if __name__ == "__main__":
    main()
