"""Two releases of the conventions: one setting, one table, all signals."""

from __future__ import annotations

import dataclasses
import re
import runpy
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pytest
import yaml
from langgraph.graph import START, StateGraph
from opentelemetry.sdk._logs import LoggerProvider, export
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry

from otel_callbacks import OTelCallbackHandler, SettingError, Settings

# Every name that the code can emit is compared with the registry.
from otel_callbacks import _semconv as semconv
from otel_callbacks._metrics.series import ATTRIBUTES, SERIES, series_of
from otel_callbacks._records import DETAILS, Outcome
from otel_callbacks._semconv import OUR_LABELS, REGISTRIES, SCHEMA_URL
from otel_callbacks.testing import FakeChatModel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_core.outputs import ChatResult

ROOT = Path(__file__).parents[1]
LATER = yaml.safe_load((ROOT / "tests/conventions/later.yaml").read_text())
OLD, NEW = REGISTRIES["2026-08"], REGISTRIES["latest"]
MODALITIES = {
    "gen_ai.usage.text.input_tokens": 4,
    "gen_ai.usage.image.input_tokens": 8,
    "gen_ai.usage.audio.input_tokens": 16,
    "gen_ai.usage.text.output_tokens": 2,
    "gen_ai.usage.image.output_tokens": 1,
}
# As an OpenAI-compatible server sends it: LangChain's own usage has audio alone.
USAGE: Any = {
    "prompt_tokens": 40,
    "completion_tokens": 3,
    "total_tokens": 43,
    "prompt_tokens_details": {
        "cache_write_tokens": 12,
        "text_tokens": 4,
        "image_tokens": 8,
        "audio_tokens": 16,
    },
    "completion_tokens_details": {"text_tokens": 2, "image_tokens": 1},
}


class _Model(FakeChatModel):
    """A model whose package passes on its provider's usage unchanged."""

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        made: ChatResult = super()._generate(*args, **kwargs)
        return made.model_copy(update={"llm_output": {"token_usage": USAGE}})


@dataclasses.dataclass
class Sent:
    """The telemetry of one workflow, in all signals."""

    spans: list[Any]
    metrics: list[Any]
    events: list[Any]
    scraped: set[str]

    def span(self, name: str) -> Mapping[str, Any]:
        """Return the attributes of one span."""
        return next(span.attributes for span in self.spans if span.name == name)


def _run(metadata: Any = None, **chosen: Any) -> Sent:
    """Run a graph that calls an agent's model once."""
    spans, reader = InMemorySpanExporter(), InMemoryMetricReader()
    memory: Any = getattr(export, "InMemoryLogRecordExporter", None)
    events = (memory or export.InMemoryLogExporter)()
    tracers = TracerProvider(shutdown_on_exit=False)
    tracers.add_span_processor(SimpleSpanProcessor(spans))
    loggers = LoggerProvider(shutdown_on_exit=False)
    loggers.add_log_record_processor(export.SimpleLogRecordProcessor(events))
    registry = CollectorRegistry()
    handler = OTelCallbackHandler(
        tracer_provider=tracers,
        meter_provider=MeterProvider([reader], shutdown_on_exit=False),
        logger_provider=loggers,
        registry=registry,
        settings=Settings(
            strict=True, metrics_exporter="both", emit_event=True, **chosen
        ),
    )
    model = _Model(model_name="m", usage=None)
    graph: Any = StateGraph(dict)
    graph.add_node("ask", lambda _: {"said": model.invoke("hi").content})
    graph.add_edge(START, "ask")
    graph.compile(name="shop").invoke(
        {}, {"callbacks": [handler], "metadata": metadata or {}}
    )
    data = reader.get_metrics_data()
    assert data is not None
    scraped = {family.name for family in registry.collect()}
    handler.close()
    return Sent(
        list(spans.get_finished_spans()),
        [scope for one in data.resource_metrics for scope in one.scope_metrics],
        list(events.get_finished_logs()),
        scraped,
    )


@pytest.mark.parametrize("release", REGISTRIES)
def test_all_signals_use_chosen_release(release: str) -> None:
    """Spans, events, metrics and a scrape have its names, and the scope its schema."""
    chosen = REGISTRIES[release]
    (other,) = (one for one in REGISTRIES.values() if one is not chosen)
    sent = _run(semconv=release)
    call = sent.span("chat m")
    assert call[chosen.cache_write] == 12
    assert other.cache_write not in call
    expected = {} if release == "2026-08" else MODALITIES
    assert {name: call[name] for name in call if name in MODALITIES} == expected
    (event,) = sent.events
    assert event.log_record.attributes[chosen.cache_write] == 12
    assert {span.instrumentation_scope.schema_url for span in sent.spans} == {
        SCHEMA_URL
    }
    assert event.instrumentation_scope.schema_url == SCHEMA_URL
    (scope,) = sent.metrics
    assert scope.scope.schema_url == SCHEMA_URL
    pushed = {metric.name for metric in scope.metrics}
    assert chosen.workflow_duration in pushed
    assert other.workflow_duration not in pushed
    assert f"{chosen.workflow_duration.replace('.', '_')}_seconds" in sent.scraped
    assert f"{other.workflow_duration.replace('.', '_')}_seconds" not in sent.scraped


def test_default_names_are_of_august_2026() -> None:
    """The default names do not change with a newer release of the conventions."""
    sent = _run()
    assert sent.span("chat m")["gen_ai.usage.cache_creation.input_tokens"] == 12
    assert "gen_ai_workflow_duration_seconds" in sent.scraped


def test_table_matches_later_conventions() -> None:
    """Each renamed name is in both releases, and nothing else is added."""
    assert LATER["renamed"] == {
        OLD.workflow_duration: NEW.workflow_duration,
        OLD.cache_write: NEW.cache_write,
    }
    added = set(LATER["added"])
    assert set(NEW.modalities.values()) <= added
    # What no provider's package hands over.
    assert {name for name in added if "cache_read" in name} == added - set(
        NEW.modalities.values()
    )
    assert not OLD.modalities


def test_series_differ_only_in_workflow_duration() -> None:
    """A release changes the workflow's duration and no other series."""
    both = zip(series_of(OLD), series_of(NEW), strict=True)
    differ = [(old.name, new.name) for old, new in both if old != new]
    assert differ == [
        ("gen_ai_workflow_duration_seconds", "gen_ai_invoke_workflow_duration_seconds")
    ]
    assert series_of(OLD) == SERIES


@pytest.mark.parametrize("text", ["2026", "newest", "2026-08,latest", "1.42.0"])
def test_another_release_is_refused(text: str) -> None:
    """The message names the variable, the value and what is allowed."""
    message = f"OTEL_CALLBACKS_SEMCONV={text}: must be 2026-08 or latest"
    with pytest.raises(SettingError, match=re.escape(message)):
        Settings.from_env({"OTEL_CALLBACKS_SEMCONV": text})


def test_our_names_have_our_prefix_on_otlp() -> None:
    """Names that the conventions lack are prefixed; Prometheus omits the prefix."""
    (scope,) = _run({"team": "garden"}, labels="team").metrics
    names = {
        name
        for metric in scope.metrics
        for point in metric.data.data_points
        for name in point.attributes
    }
    known = ("gen_ai.", "server.", "error.", "otel_callbacks.")
    assert {name for name in names if not name.startswith(known)} == {"team"}
    assert {"otel_callbacks.outcome", "otel_callbacks.reason"} <= names
    assert not names & OUR_LABELS
    labels = {label for series in SERIES for label in series.labels}
    for label in labels:
        attribute = ATTRIBUTES[label]
        short = attribute.removeprefix("otel_callbacks.").replace(".", "_")
        assert short == label
        assert attribute.startswith(known)
    assert "team" in names


def test_the_collector_applies_that_rule() -> None:
    """The stack's Collector removes our prefix, and changes no other attribute."""
    text = (ROOT / "deploy/collector/config.yaml").read_text(encoding="utf-8")
    (statement,) = yaml.safe_load(text)["processors"]["transform/labels"][
        "metric_statements"
    ]
    pattern, replacement = re.findall(r'"key", "(.+?)", "(.*?)"', statement)[0]
    # OTTL's text has the backslash twice.
    pattern = pattern.replace("\\\\", "\\")
    for label in OUR_LABELS:
        assert re.sub(pattern, replacement, ATTRIBUTES[label]) == label
    for attribute in ("gen_ai.request.model", "server.port", "my.otel_callbacks.x"):
        assert re.sub(pattern, replacement, attribute) == attribute


_TYPES = {"bool": "boolean"}


def _conventions(name: str) -> dict[str, Any]:
    """Return one file of our registry, of names that the conventions lack."""
    path = ROOT / "conventions" / f"{name}.yaml"
    loaded: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert loaded.pop("file_format") == "definition/2"
    return loaded


def _ours() -> dict[str, Any]:
    """Return the attributes of our registry by their keys."""
    (listed,) = _conventions("attributes").values()
    by_key = {one["key"]: one for one in listed}
    assert len(by_key) == len(listed)
    return by_key


def test_registry_has_exactly_our_attributes() -> None:
    """The attributes of spans and metrics equal those of the code."""
    values = [v for name, v in vars(semconv).items() if not name.startswith("_")]
    constants = {value for value in values if isinstance(value, str)}
    named = {value for value in constants if value.startswith(semconv.OURS)}
    labels = {ATTRIBUTES[label] for label in OUR_LABELS}
    assert set(_ours()) == (named | labels) - {semconv.OURS}


def test_registry_describes_each_attribute() -> None:
    """A brief, a type, and an example unless the type lists its values."""
    for key, one in _ours().items():
        assert one["brief"].endswith("."), key
        assert one["stability"] == "development"
        is_open = isinstance(one["type"], str) and one["type"] != "boolean"
        assert ("examples" in one) == is_open, key
    members = {
        key: [member["value"] for member in one["type"]["members"]]
        for key, one in _ours().items()
        if not isinstance(one["type"], str)
    }
    assert members["otel_callbacks.error_class"] == list(semconv.ERROR_CLASSES)
    assert members["otel_callbacks.outcome"] == list(get_args(Outcome))
    assert members["otel_callbacks.detail"] == list(DETAILS)


def test_types_match_docs_spans_page() -> None:
    """The page equals the code, and the registry equals the page."""
    page = (ROOT / "docs/spans.md").read_text(encoding="utf-8")
    documented = dict(
        re.findall(r"^\| `(otel_callbacks\.[\w.]+)` \| ([^|]+?) \|", page, re.MULTILINE)
    )
    assert len(documented) == 32
    for key, kind in documented.items():
        found = _ours()[key]["type"]
        plain = re.sub(r"template\[(.*)\]", r"\1", found) if found is str(found) else ""
        assert (plain or "string") == _TYPES.get(kind, kind), key


def test_registry_has_all_our_metrics() -> None:
    """The file of metrics is the one that the table of series gives."""
    written = runpy.run_path(str(ROOT / "conventions/build.py"))["metrics"]()
    path = ROOT / "conventions/metrics.yaml"
    assert path.read_text(encoding="utf-8") == written, "run make registry"
    (listed,) = _conventions("metrics").values()
    assert [one["name"] for one in listed] == [
        series.metric for series in SERIES if series.is_ours
    ]
    assert {one["instrument"] for one in listed} == {"counter", "updowncounter"}


def test_registry_references_exist() -> None:
    """Each reference is to an attribute or a span of ours or of the conventions."""
    folder = ROOT / "tests/conventions"
    theirs = yaml.safe_load((folder / "attributes.yaml").read_text(encoding="utf-8"))
    spans = yaml.safe_load((folder / "spans.yaml").read_text(encoding="utf-8"))
    loaded = _conventions("spans")
    assert [one["type"] for one in loaded["spans"]] == ["otel_callbacks.step"]
    refined = {one["ref"] for one in loaded["span_refinements"]}
    assert refined <= set(spans)
    known = {*_ours(), *theirs, "error.type", "server.address", "server.port"}
    everywhere = [*loaded["spans"], *loaded["span_refinements"]]
    used = {each["ref"] for one in everywhere for each in one["attributes"]}
    assert used <= known
    # Each of a span's attributes is on one; the rest are those of metrics.
    labels = {ATTRIBUTES[label] for label in OUR_LABELS}
    assert set(_ours()) - used == labels - used
