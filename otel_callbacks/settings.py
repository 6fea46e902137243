"""What can be set, by argument or by environment; read once, refused if wrong.

Ours start with ``OTEL_CALLBACKS_``. Where OpenTelemetry has a name, it is used:
https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit


class SettingError(ValueError):
    """A setting has a value that is not allowed.

    The message names the variable, the value and what is allowed.

    Args:
        variable: The environment variable.
        value: What it was set to.
        allowed: What would have been right, for people.
    """

    def __init__(self, variable: str, value: object, allowed: str) -> None:
        super().__init__(f"{variable}={value!s}: allowed is {allowed}")
        self.variable = variable
        self.value = value
        self.allowed = allowed


Parser = Callable[[str], Any]

_TRUE: Final = frozenset({"true", "1", "yes", "on"})
_FALSE: Final = frozenset({"false", "0", "no", "off"})
_PORT_AT_MOST: Final = 65_535


def _flag(text: str) -> bool:
    """Read a yes or no."""
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ValueError


def _whole(least: int, most: int) -> Parser:
    """Return a reader of whole numbers in a range."""

    def read(text: str) -> int:
        number = int(text)
        if not least <= number <= most:
            raise ValueError
        return number

    return read


def _seconds(text: str) -> float:
    """Read a positive length of time."""
    number = float(text)
    # Written so that "nan" is refused; a year is as good as forever.
    if not 0 < number <= 365 * 86_400:
        raise ValueError
    return number


def _one_of(*allowed: str) -> Parser:
    """Return a reader of one word of some."""

    def read(text: str) -> str:
        if text not in allowed:
            raise ValueError
        return text

    return read


def _endpoint(text: str) -> str:
    """Read an OTLP endpoint; gRPC's may come without a scheme."""
    parts = urlsplit(text if "://" in text else f"http://{text}")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError
    if parts.port == 0:  # reading it raises ValueError beyond 65535
        raise ValueError
    return text


def _ratio(text: str) -> float:
    """Read a share."""
    number = float(text)
    if not 0 <= number <= 1:
        raise ValueError
    return number


_SAMPLERS: Final = (
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
)
_PROTOCOLS: Final = ("grpc", "http/protobuf")
_BOUNDED: Final = 1_000_000


def _setting(variable: str, default: Any, parser: Parser, allowed: str) -> Any:
    """Return a field with its variable, its reader and what it allows."""
    metadata = {"variable": variable, "parser": parser, "allowed": allowed}
    return dataclasses.field(default=default, metadata=metadata)


_YES_OR_NO: Final = "true or false"


def _flag_setting(variable: str, *, default: bool) -> Any:
    """Return a field that is a yes or no."""
    return _setting(variable, default, _flag, _YES_OR_NO)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings; `from_env` reads them from the environment.

    Args:
        sdk_disabled: Switches all telemetry off.
        strict: Raises our own troubles instead of logging them; for tests.
        extensions: Emits what the conventions do not have: ``otel_callbacks`` series
            and span attributes. Off leaves the conventions' names alone.
        label_limit: Distinct values of each label; further ones become ``other``.
        run_time_limit: Seconds without a sign of life after which a run is given up.
        run_limit: Open runs beyond which the oldest is given up.
        traces_exporter: Where `configure` sends spans: ``otlp``, ``console``, ``none``.
        metrics_exporter: How `configure` offers series: ``prometheus``, ``none``.
        protocol: The OTLP protocol: ``grpc``, ``http/protobuf``.
        prometheus_host: The address that ``/metrics`` is served on.
        prometheus_port: Its port; 0 takes a free one.

    Raises:
        SettingError: A value is not allowed.
    """

    sdk_disabled: bool = _flag_setting("OTEL_SDK_DISABLED", default=False)
    strict: bool = _flag_setting("OTEL_CALLBACKS_STRICT", default=False)
    extensions: bool = _flag_setting("OTEL_CALLBACKS_EXTENSIONS", default=True)
    label_limit: int = _setting(
        "OTEL_CALLBACKS_LABEL_LIMIT",
        100,
        _whole(1, _BOUNDED),
        f"a whole number from 1 to {_BOUNDED}",
    )
    run_time_limit: float = _setting(
        "OTEL_CALLBACKS_RUN_TIME_LIMIT",
        3600.0,
        _seconds,
        "a number of seconds above 0",
    )
    run_limit: int = _setting(
        "OTEL_CALLBACKS_RUN_LIMIT",
        20_000,
        _whole(1, _BOUNDED),
        f"a whole number from 1 to {_BOUNDED}",
    )
    traces_exporter: str = _setting(
        "OTEL_TRACES_EXPORTER",
        "otlp",
        _one_of("otlp", "console", "none"),
        "otlp, console or none",
    )
    metrics_exporter: str = _setting(
        "OTEL_METRICS_EXPORTER",
        "prometheus",
        _one_of("prometheus", "none"),
        "prometheus or none",
    )
    protocol: str = _setting(
        "OTEL_EXPORTER_OTLP_PROTOCOL",
        "grpc",
        _one_of(*_PROTOCOLS),
        " or ".join(_PROTOCOLS),
    )
    prometheus_host: str = _setting(
        "OTEL_EXPORTER_PROMETHEUS_HOST", "127.0.0.1", str, "a host name or address"
    )
    prometheus_port: int = _setting(
        "OTEL_EXPORTER_PROMETHEUS_PORT",
        9464,
        _whole(0, _PORT_AT_MOST),
        f"a port from 0 to {_PORT_AT_MOST}",
    )

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            spec = field.metadata
            if _read(spec["variable"], str(value), spec) != value:
                # Text that would do in the environment is no number in code.
                raise SettingError(spec["variable"], repr(value), spec["allowed"])

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Return the settings of an environment.

        Args:
            environ: The variables; the process's own by default. A variable that is
                empty counts as not set.

        Raises:
            SettingError: A variable has a value that is not allowed.
        """
        variables = os.environ if environ is None else environ
        values: dict[str, Any] = {}
        for field in dataclasses.fields(cls):
            text = variables.get(field.metadata["variable"], "").strip()
            if text:
                values[field.name] = _read(
                    field.metadata["variable"], text, field.metadata
                )
        own_protocol = variables.get(_TRACES_PROTOCOL, "").strip()
        if own_protocol:
            allowed = " or ".join(_PROTOCOLS)
            spec = {"parser": _one_of(*_PROTOCOLS), "allowed": allowed}
            values["protocol"] = _read(_TRACES_PROTOCOL, own_protocol, spec)
        return cls(**values)


_TRACES_PROTOCOL: Final = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
_MILLISECONDS: Final = (_whole(1, 3_600_000), "a whole number of milliseconds above 0")
_SECONDS: Final = (_seconds, "a number of seconds above 0")
_COUNT: Final = (_whole(1, 10_000_000), "a whole number above 0")
_URL: Final = (_endpoint, "a URL such as http://localhost:4317")
_COMPRESSION: Final = (_one_of("none", "gzip", "deflate"), "none, gzip or deflate")

# Read by the SDK, which falls back to its default when one is wrong; we refuse.
_READ_BY_THE_SDK: Final[Mapping[str, tuple[Parser, str]]] = {
    "OTEL_EXPORTER_OTLP_ENDPOINT": _URL,
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": _URL,
    "OTEL_EXPORTER_OTLP_TIMEOUT": _SECONDS,
    "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": _SECONDS,
    "OTEL_EXPORTER_OTLP_COMPRESSION": _COMPRESSION,
    "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION": _COMPRESSION,
    "OTEL_EXPORTER_OTLP_INSECURE": (_flag, _YES_OR_NO),
    "OTEL_TRACES_SAMPLER": (_one_of(*_SAMPLERS), ", ".join(_SAMPLERS)),
    "OTEL_BSP_SCHEDULE_DELAY": _MILLISECONDS,
    "OTEL_BSP_EXPORT_TIMEOUT": _MILLISECONDS,
    "OTEL_BSP_MAX_QUEUE_SIZE": _COUNT,
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": _COUNT,
}
_SAMPLER_ARGUMENT: Final = "OTEL_TRACES_SAMPLER_ARG"


def check_sdk_variables(environ: Mapping[str, str] | None = None) -> None:
    """Refuse wrong values of the variables that OpenTelemetry's SDK reads itself.

    Args:
        environ: The variables; the process's own by default.

    Raises:
        SettingError: A variable has a value that is not allowed.
    """
    variables = os.environ if environ is None else environ
    specs = dict(_READ_BY_THE_SDK)
    if variables.get("OTEL_TRACES_SAMPLER", "").endswith("traceidratio"):
        specs[_SAMPLER_ARGUMENT] = (_ratio, "a number from 0 to 1")
    for variable, (parser, allowed) in specs.items():
        text = variables.get(variable, "").strip()
        if text:
            _read(variable, text, {"parser": parser, "allowed": allowed})


def _read(variable: str, text: str, spec: Mapping[str, Any]) -> Any:
    """Read one value, or refuse it by name."""
    try:
        return spec["parser"](text)
    except ValueError:
        raise SettingError(variable, text, spec["allowed"]) from None
