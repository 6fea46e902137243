"""All settings, by argument or environment variable; read once, invalid ones refused.

Our variables start with ``OTEL_CALLBACKS_``. OpenTelemetry's names are used if it has
them:
https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, Any, Final

from otel_callbacks import _setting_values as values
from otel_callbacks._semconv import DEFAULT_REGISTRY, REGISTRIES, Registry
from otel_callbacks._setting_values import (
    FLAG,
    SECONDS,
    Parser,
    SettingError,
    one_of,
    otlp_variable,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


_BOUNDED: Final = 1_000_000
_COUNT: Final = whole(1, 10_000_000)
_LIMIT: Final = whole(1, _BOUNDED, f"a whole number from 1 to {_BOUNDED}")
_BUDGET: Final = whole(1, 10**15)
_MILLISECONDS: Final = whole(1, 3_600_000, "a whole number of milliseconds above 0")
_OF_EACH_SIGNAL: Final[Mapping[str, Parser]] = {
    "ENDPOINT": values.ENDPOINT,
    "HEADERS": values.HEADERS,
    "TIMEOUT": SECONDS,
    "COMPRESSION": one_of("none", "gzip", "deflate"),
    "INSECURE": FLAG,
    "CERTIFICATE": values.FILE,
    "CLIENT_KEY": values.FILE,
    "CLIENT_CERTIFICATE": values.FILE,
}
_READ_BY_THE_SDK: Final[Mapping[str, Parser]] = {
    **{
        f"OTEL_EXPORTER_OTLP_{signal}{name}": parser
        for signal in ("", "TRACES_", "METRICS_", "LOGS_")
        for name, parser in _OF_EACH_SIGNAL.items()
    },
    "OTEL_TRACES_SAMPLER": values.SAMPLER,
    **{
        f"OTEL_{queue}_{name}": parser
        for queue in ("BSP", "BLRP")
        for name, parser in (
            ("SCHEDULE_DELAY", _MILLISECONDS),
            ("EXPORT_TIMEOUT", _MILLISECONDS),
            ("MAX_QUEUE_SIZE", _COUNT),
            ("MAX_EXPORT_BATCH_SIZE", _COUNT),
        )
    },
    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": one_of(
        "cumulative", "delta", "lowmemory", case=str.lower
    ),
    "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION": one_of(
        "explicit_bucket_histogram",
        "base2_exponential_bucket_histogram",
        case=str.lower,
    ),
    "OTEL_METRIC_EXPORT_INTERVAL": _MILLISECONDS,
    "OTEL_METRIC_EXPORT_TIMEOUT": _MILLISECONDS,
}


def check_sdk_variables(
    environ: Mapping[str, str] | None = None, settings: Settings | None = None
) -> None:
    """Refuse wrong values of the variables that OpenTelemetry's SDK reads itself.

    Args:
        environ: The variables; the process's own by default.
        settings: The settings, for each signal's protocol; of those variables by
            default.

    Raises:
        SettingError: A variable has a value that is not allowed.
    """
    variables = os.environ if environ is None else environ
    parsers = dict(_READ_BY_THE_SDK)
    if variables.get("OTEL_TRACES_SAMPLER", "").endswith("traceidratio"):
        parsers["OTEL_TRACES_SAMPLER_ARG"] = values.RATIO
    for variable, parser in parsers.items():
        if text := variables.get(variable, "").strip():
            parser.read(variable, text)
    chosen = settings or Settings.from_env(variables)
    for name in chosen.signals():
        is_grpc = chosen.protocol_of(name) == "grpc"
        variable, text = otlp_variable(variables, name, "ENDPOINT")
        if text and "://" not in text and not is_grpc:
            allowed = f"a URL with a scheme, such as http://{text}, for OTLP over HTTP"
            raise SettingError(variable, text, allowed)
        variable, text = otlp_variable(variables, name, "COMPRESSION")
        if text == "deflate" and is_grpc:
            raise SettingError(variable, text, "none or gzip, for OTLP over gRPC")


DEFAULT_METRICS_PORT: Final = 9464
"""Port of ``/metrics``: https://opentelemetry.io/docs/specs/otel/metrics/sdk_exporters/prometheus/"""

_PROTOCOL: Final = one_of("grpc", "http/protobuf")


def _setting(variable: str, parser: Parser, default: Any = None) -> Any:
    """Return a field with its variable and its parser."""
    metadata = {"variable": variable, "parser": parser}
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings; `from_env` reads them from the environment.

    Args:
        sdk_disabled: Switches all telemetry off.
        strict: Raises internal errors instead of logging them; for tests.
        extensions: Emits series and span attributes that the conventions do not have:
            ``otel_callbacks``. If off, only the conventions' names remain.
        semconv: The release of OpenTelemetry's GenAI conventions to take names from:
            ``2026-08``, or ``latest`` for the newest names (see
            ``docs/conformance.md``).
        sdk_spans: Creates each span with the SDK's tracer, even where our cheaper span
            is equivalent (see ``docs/architecture.md``).
        shortest_step: Seconds; a shorter inner step has no span if it succeeded and
            nothing happened in it. By default each step has one.
        label_limit: Distinct values of each label; further ones become ``other``.
        series_limit: Label sets of each series; further ones are counted as ``other``.
        run_time_limit: Seconds without activity after which a run is abandoned.
        run_limit: Open runs beyond which the oldest is abandoned.
        traces_exporter: Where `configure` sends spans: ``otlp``, ``console``,
            ``waterfall``, ``none``.
        metrics_exporter: How series are exported: ``prometheus`` (scraped), ``otlp``
            (pushed), ``both``, ``none``.
        logs_exporter: Where `configure` sends events: ``otlp``, ``console``, ``none``.
        protocol: The OTLP protocol: ``grpc``, ``http/protobuf``.
        traces_protocol: The protocol of spans; ``protocol`` by default.
        metrics_protocol: The protocol of pushed series; ``protocol`` by default.
        logs_protocol: The protocol of events; ``protocol`` by default.
        prometheus_host: The address that ``/metrics`` is served on.
        prometheus_port: The port of ``/metrics``; 0 uses a free one. By default 9464,
            or a free one if that is in use.
        capture_content: Where prompts, responses and tool arguments go: ``NO_CONTENT``,
            ``SPAN_ONLY``, ``EVENT_ONLY``, ``SPAN_AND_EVENT``.
        content_limit: Bytes of one attribute of content; longer content is cut in its
            structure.
        emit_event: Emits an event for each model call; by default only if events carry
            content.
        prices: A file of prices that override the known ones.
        labels: Metadata keys and tags that become labels of the spend series.
        budget_tokens: Tokens that this process may use, in and out.
        budget_cost_usd: US dollars that this process may spend.
        budget_calls: Model calls that this process may make.
        budget_on_exceed: The action beyond a budget: ``raise`` or ``warn``.
        budget_on_unpriced: The action of a dollar budget for a call of unknown price:
            ``raise``, ``count`` or ``allow``.

    Raises:
        SettingError: A value is not allowed.
    """

    sdk_disabled: bool = _setting("OTEL_SDK_DISABLED", FLAG, default=False)
    strict: bool = _setting("OTEL_CALLBACKS_STRICT", FLAG, default=False)
    extensions: bool = _setting("OTEL_CALLBACKS_EXTENSIONS", FLAG, default=True)
    semconv: str = _setting(
        "OTEL_CALLBACKS_SEMCONV", one_of(*REGISTRIES), DEFAULT_REGISTRY
    )
    sdk_spans: bool = _setting("OTEL_CALLBACKS_SDK_SPANS", FLAG, default=False)
    shortest_step: float | None = _setting("OTEL_CALLBACKS_SHORTEST_STEP", SECONDS)
    label_limit: int = _setting("OTEL_CALLBACKS_LABEL_LIMIT", _LIMIT, 100)
    series_limit: int = _setting("OTEL_CALLBACKS_SERIES_LIMIT", _LIMIT, 10_000)
    run_time_limit: float = _setting("OTEL_CALLBACKS_RUN_TIME_LIMIT", SECONDS, 3600.0)
    run_limit: int = _setting("OTEL_CALLBACKS_RUN_LIMIT", _LIMIT, 20_000)
    traces_exporter: str = _setting(
        "OTEL_TRACES_EXPORTER", one_of("otlp", "console", "waterfall", "none"), "otlp"
    )
    metrics_exporter: str = _setting(
        "OTEL_METRICS_EXPORTER", values.EXPORTERS, "prometheus"
    )
    logs_exporter: str = _setting(
        "OTEL_LOGS_EXPORTER", one_of("otlp", "console", "none"), "otlp"
    )
    protocol: str = _setting("OTEL_EXPORTER_OTLP_PROTOCOL", _PROTOCOL, "grpc")
    traces_protocol: str | None = _setting(
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", _PROTOCOL
    )
    metrics_protocol: str | None = _setting(
        "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", _PROTOCOL
    )
    logs_protocol: str | None = _setting("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", _PROTOCOL)
    prometheus_host: str = _setting(
        "OTEL_EXPORTER_PROMETHEUS_HOST",
        Parser(str, "a host name or address"),
        "127.0.0.1",
    )
    prometheus_port: int | None = _setting(
        "OTEL_EXPORTER_PROMETHEUS_PORT", whole(0, 65_535, "a port from 0 to 65535")
    )
    capture_content: str = _setting(
        "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT",
        values.CONTENT_MODE,
        "NO_CONTENT",
    )
    content_limit: int = _setting(
        "OTEL_CALLBACKS_CONTENT_LIMIT",
        whole(1_024, _BOUNDED, f"a number of bytes from 1024 to {_BOUNDED}"),
        32_768,
    )
    emit_event: bool | None = _setting("OTEL_INSTRUMENTATION_GENAI_EMIT_EVENT", FLAG)
    prices: str = _setting(
        "OTEL_CALLBACKS_PRICES", Parser(str, "the path of a file"), ""
    )
    labels: str = _setting(
        values.VARIABLE, Parser(values.labels, "names of labels, divided by commas"), ""
    )
    budget_tokens: int | None = _setting("OTEL_CALLBACKS_BUDGET_TOKENS", _BUDGET)
    budget_cost_usd: float | None = _setting(
        "OTEL_CALLBACKS_BUDGET_COST_USD", values.MONEY
    )
    budget_calls: int | None = _setting("OTEL_CALLBACKS_BUDGET_CALLS", _BUDGET)
    budget_on_exceed: str = _setting(
        "OTEL_CALLBACKS_BUDGET_ON_EXCEED", one_of("raise", "warn"), "raise"
    )
    budget_on_unpriced: str = _setting(
        "OTEL_CALLBACKS_BUDGET_ON_UNPRICED", one_of("raise", "count", "allow"), "count"
    )

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            variable, parser = field.metadata["variable"], field.metadata["parser"]
            if value is None and field.default is None:
                continue
            if parser.read(variable, str(value)) != value:
                # Text that would do in the environment is no number in code.
                raise SettingError(variable, repr(value), parser.allowed)

    @property
    def registry(self) -> Registry:
        """The names of the chosen release of the conventions."""
        return REGISTRIES[self.semconv]

    @property
    def has_events(self) -> bool:
        """Whether events are emitted: as set, else if they carry content."""
        if self.emit_event is None:
            return "EVENT" in self.capture_content
        return self.emit_event

    @property
    def metrics_port(self) -> int:
        """The configured port of ``/metrics``, before it is served."""
        port = self.prometheus_port
        return DEFAULT_METRICS_PORT if port is None else port

    def protocol_of(self, signal: str) -> str:
        """Return the OTLP protocol of a signal.

        Args:
            signal: ``traces``, ``metrics`` or ``logs``.
        """
        own: str | None = getattr(self, f"{signal}_protocol")
        return own or self.protocol

    def signals(self) -> list[str]:
        """Return the signals that `configure` sends over OTLP."""
        sent = {
            "traces": self.traces_exporter == "otlp",
            "metrics": self.metrics_exporter in {"otlp", "both"},
            "logs": self.has_events and self.logs_exporter == "otlp",
        }
        return [name for name, is_sent in sent.items() if is_sent]

    @classmethod
    def from_env(
        cls, environ: Mapping[str, str] | None = None, *, ignoring: Collection[str] = ()
    ) -> Settings:
        """Return the settings from environment variables.

        Args:
            environ: The variables; the process's own by default. A variable that is
                empty counts as not set.
            ignoring: Fields whose variables belong to other code in this process.

        Raises:
            SettingError: A variable has a value that is not allowed.
        """
        variables = os.environ if environ is None else environ
        found: dict[str, Any] = {}
        for field in dataclasses.fields(cls):
            variable, parser = field.metadata["variable"], field.metadata["parser"]
            text = variables.get(variable, "").strip()
            if text and field.name not in ignoring:
                found[field.name] = parser.read(variable, text)
        return cls(**found)
