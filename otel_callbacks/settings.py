"""All settings, by argument or environment variable; read once, invalid ones refused.

Our variables start with ``OTEL_CALLBACKS_``. OpenTelemetry's names are used if it has
them:
https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, Any, Final

from otel_callbacks._semconv import DEFAULT_REGISTRY, REGISTRIES
from otel_callbacks._setting_values import (
    CONTENT_MODES,
    PORT_AT_MOST,
    YES_OR_NO,
    SettingError,
    content_mode,
    endpoint,
    exporters,
    file,
    flag,
    headers,
    labels,
    money,
    one_of,
    ratio,
    read_setting,
    sampler,
    seconds,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from otel_callbacks._semconv import Registry
    from otel_callbacks._setting_values import Parser

_SAMPLERS: Final = (
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
)
_ALLOWED_SAMPLERS: Final = (
    f"{', '.join(_SAMPLERS)}, or one that a package brings (entry points of the group "
    "opentelemetry_traces_sampler)"
)
_TEMPORALITIES: Final = ("cumulative", "delta", "lowmemory")
_BOUNDED: Final = 1_000_000


def _any_case(*words: str) -> tuple[Parser, str]:
    """Return a parser of these words in any case, and the allowed values."""
    return lambda text: one_of(*words)(text.lower()), ", ".join(words)


_MILLISECONDS: Final = (whole(1, 3_600_000), "a whole number of milliseconds above 0")
_SECONDS: Final = (seconds, "a number of seconds above 0")
_COUNT: Final = (whole(1, 10_000_000), "a whole number above 0")
_URL: Final = (endpoint, "a URL such as http://localhost:4317")
_COMPRESSION: Final = (one_of("none", "gzip", "deflate"), "none, gzip or deflate")

_LIMIT: Final = (whole(1, _BOUNDED), f"a whole number from 1 to {_BOUNDED}")
_BUDGET: Final = (whole(1, 10**15), "a whole number above 0")

_FILE: Final = (file, "the path of a file that can be read")
_HEADERS: Final = (
    headers,
    "name=value, several separated by commas, such as authorization=Bearer%20KEY",
)

_OF_EACH_SIGNAL: Final[Mapping[str, tuple[Parser, str]]] = {
    "ENDPOINT": _URL,
    "HEADERS": _HEADERS,
    "TIMEOUT": _SECONDS,
    "COMPRESSION": _COMPRESSION,
    "INSECURE": (flag, YES_OR_NO),
    "CERTIFICATE": _FILE,
    "CLIENT_KEY": _FILE,
    "CLIENT_CERTIFICATE": _FILE,
}
_READ_BY_THE_SDK: Final[Mapping[str, tuple[Parser, str]]] = {
    **{
        f"OTEL_EXPORTER_OTLP_{signal}{name}": spec
        for signal in ("", "TRACES_", "METRICS_", "LOGS_")
        for name, spec in _OF_EACH_SIGNAL.items()
    },
    "OTEL_TRACES_SAMPLER": (sampler(*_SAMPLERS), _ALLOWED_SAMPLERS),
    "OTEL_BSP_SCHEDULE_DELAY": _MILLISECONDS,
    "OTEL_BSP_EXPORT_TIMEOUT": _MILLISECONDS,
    "OTEL_BSP_MAX_QUEUE_SIZE": _COUNT,
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": _COUNT,
    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": _any_case(*_TEMPORALITIES),
    "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION": _any_case(
        "explicit_bucket_histogram", "base2_exponential_bucket_histogram"
    ),
    "OTEL_METRIC_EXPORT_INTERVAL": _MILLISECONDS,
    "OTEL_METRIC_EXPORT_TIMEOUT": _MILLISECONDS,
    "OTEL_BLRP_SCHEDULE_DELAY": _MILLISECONDS,
    "OTEL_BLRP_EXPORT_TIMEOUT": _MILLISECONDS,
    "OTEL_BLRP_MAX_QUEUE_SIZE": _COUNT,
    "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE": _COUNT,
}
_SAMPLER_ARGUMENT: Final = "OTEL_TRACES_SAMPLER_ARG"


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
    specs = dict(_READ_BY_THE_SDK)
    if variables.get("OTEL_TRACES_SAMPLER", "").endswith("traceidratio"):
        specs[_SAMPLER_ARGUMENT] = (ratio, "a number from 0 to 1")
    for variable, (parser, allowed) in specs.items():
        text = variables.get(variable, "").strip()
        if text:
            read_setting(variable, text, {"parser": parser, "allowed": allowed})
    chosen = settings or Settings.from_env(variables)
    for name in chosen.signals():
        is_grpc = chosen.protocol_of(name) == "grpc"
        variable, text = _of_signal(variables, name, "ENDPOINT")
        if text and "://" not in text and not is_grpc:
            allowed = f"a URL with a scheme, such as http://{text}, for OTLP over HTTP"
            raise SettingError(variable, text, allowed)
        variable, text = _of_signal(variables, name, "COMPRESSION")
        if text == "deflate" and is_grpc:
            raise SettingError(variable, text, "none or gzip, for OTLP over gRPC")


def _of_signal(
    variables: Mapping[str, str], signal: str, setting: str
) -> tuple[str, str]:
    """Return the variable that applies to a signal's setting, and its text."""
    own = f"OTEL_EXPORTER_OTLP_{signal.upper()}_{setting}"
    general = f"OTEL_EXPORTER_OTLP_{setting}"
    variable = own if variables.get(own, "").strip() else general
    return variable, variables.get(variable, "").strip()


_PROTOCOLS: Final = ("grpc", "http/protobuf")

DEFAULT_METRICS_PORT: Final = 9464
"""Port of ``/metrics``: https://opentelemetry.io/docs/specs/otel/metrics/sdk_exporters/prometheus/"""


def _setting(variable: str, default: Any, parser: Parser, allowed: str) -> Any:
    """Return a field with its variable, its parser and its allowed values."""
    metadata = {"variable": variable, "parser": parser, "allowed": allowed}
    return dataclasses.field(default=default, metadata=metadata)


def _flag_setting(variable: str, *, default: bool) -> Any:
    """Return a field that is true or false."""
    return _setting(variable, default, flag, YES_OR_NO)


def _choice_setting(variable: str, default: str | None, *words: str) -> Any:
    """Return a field that is one of several words."""
    allowed = f"{', '.join(words[:-1])} or {words[-1]}"
    return _setting(variable, default, one_of(*words), allowed)


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

    sdk_disabled: bool = _flag_setting("OTEL_SDK_DISABLED", default=False)
    strict: bool = _flag_setting("OTEL_CALLBACKS_STRICT", default=False)
    extensions: bool = _flag_setting("OTEL_CALLBACKS_EXTENSIONS", default=True)
    semconv: str = _choice_setting(
        "OTEL_CALLBACKS_SEMCONV", DEFAULT_REGISTRY, *REGISTRIES
    )
    sdk_spans: bool = _flag_setting("OTEL_CALLBACKS_SDK_SPANS", default=False)
    shortest_step: float | None = _setting(
        "OTEL_CALLBACKS_SHORTEST_STEP", None, *_SECONDS
    )
    label_limit: int = _setting("OTEL_CALLBACKS_LABEL_LIMIT", 100, *_LIMIT)
    series_limit: int = _setting("OTEL_CALLBACKS_SERIES_LIMIT", 10_000, *_LIMIT)
    run_time_limit: float = _setting("OTEL_CALLBACKS_RUN_TIME_LIMIT", 3600.0, *_SECONDS)
    run_limit: int = _setting("OTEL_CALLBACKS_RUN_LIMIT", 20_000, *_LIMIT)
    traces_exporter: str = _choice_setting(
        "OTEL_TRACES_EXPORTER", "otlp", "otlp", "console", "waterfall", "none"
    )
    metrics_exporter: str = _setting(
        "OTEL_METRICS_EXPORTER",
        "prometheus",
        exporters,
        "prometheus, otlp, both or none",
    )
    logs_exporter: str = _choice_setting(
        "OTEL_LOGS_EXPORTER", "otlp", "otlp", "console", "none"
    )
    protocol: str = _choice_setting("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", *_PROTOCOLS)
    traces_protocol: str | None = _choice_setting(
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", None, *_PROTOCOLS
    )
    metrics_protocol: str | None = _choice_setting(
        "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", None, *_PROTOCOLS
    )
    logs_protocol: str | None = _choice_setting(
        "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", None, *_PROTOCOLS
    )
    prometheus_host: str = _setting(
        "OTEL_EXPORTER_PROMETHEUS_HOST", "127.0.0.1", str, "a host name or address"
    )
    prometheus_port: int | None = _setting(
        "OTEL_EXPORTER_PROMETHEUS_PORT",
        None,
        whole(0, PORT_AT_MOST),
        f"a port from 0 to {PORT_AT_MOST}",
    )
    capture_content: str = _setting(
        "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT",
        "NO_CONTENT",
        content_mode,
        ", ".join(CONTENT_MODES),
    )
    content_limit: int = _setting(
        "OTEL_CALLBACKS_CONTENT_LIMIT",
        32_768,
        whole(1_024, _BOUNDED),
        f"a number of bytes from 1024 to {_BOUNDED}",
    )
    emit_event: bool | None = _setting(
        "OTEL_INSTRUMENTATION_GENAI_EMIT_EVENT", None, flag, YES_OR_NO
    )
    prices: str = _setting("OTEL_CALLBACKS_PRICES", "", str, "the path of a file")
    labels: str = _setting(
        "OTEL_CALLBACKS_LABELS", "", labels, "names of labels, divided by commas"
    )
    budget_tokens: int | None = _setting("OTEL_CALLBACKS_BUDGET_TOKENS", None, *_BUDGET)
    budget_cost_usd: float | None = _setting(
        "OTEL_CALLBACKS_BUDGET_COST_USD", None, money, "an amount of dollars above 0"
    )
    budget_calls: int | None = _setting("OTEL_CALLBACKS_BUDGET_CALLS", None, *_BUDGET)
    budget_on_exceed: str = _choice_setting(
        "OTEL_CALLBACKS_BUDGET_ON_EXCEED", "raise", "raise", "warn"
    )
    budget_on_unpriced: str = _choice_setting(
        "OTEL_CALLBACKS_BUDGET_ON_UNPRICED", "count", "raise", "count", "allow"
    )

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            spec = field.metadata
            if value is None and field.default is None:
                continue
            if read_setting(spec["variable"], str(value), spec) != value:
                # Text that would do in the environment is no number in code.
                raise SettingError(spec["variable"], repr(value), spec["allowed"])

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
        cls,
        environ: Mapping[str, str] | None = None,
        *,
        ignoring: Collection[str] = (),
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
        values: dict[str, Any] = {}
        for field in dataclasses.fields(cls):
            text = variables.get(field.metadata["variable"], "").strip()
            if text and field.name not in ignoring:
                values[field.name] = read_setting(
                    field.metadata["variable"], text, field.metadata
                )
        return cls(**values)
