"""The variables that OpenTelemetry's SDK reads itself, checked before it does.

The SDK falls back to a default where one is wrong; we refuse.
https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from otel_callbacks.setting_values import (
    YES_OR_NO,
    endpoint,
    flag,
    one_of,
    ratio,
    read_setting,
    seconds,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_callbacks.setting_values import Parser

_SAMPLERS: Final = (
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
)
_TEMPORALITIES: Final = ("cumulative", "delta", "lowmemory")

_MILLISECONDS: Final = (whole(1, 3_600_000), "a whole number of milliseconds above 0")
_SECONDS: Final = (seconds, "a number of seconds above 0")
_COUNT: Final = (whole(1, 10_000_000), "a whole number above 0")
_URL: Final = (endpoint, "a URL such as http://localhost:4317")
_COMPRESSION: Final = (one_of("none", "gzip", "deflate"), "none, gzip or deflate")

_READ_BY_THE_SDK: Final[Mapping[str, tuple[Parser, str]]] = {
    "OTEL_EXPORTER_OTLP_ENDPOINT": _URL,
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": _URL,
    "OTEL_EXPORTER_OTLP_TIMEOUT": _SECONDS,
    "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": _SECONDS,
    "OTEL_EXPORTER_OTLP_COMPRESSION": _COMPRESSION,
    "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION": _COMPRESSION,
    "OTEL_EXPORTER_OTLP_INSECURE": (flag, YES_OR_NO),
    "OTEL_TRACES_SAMPLER": (one_of(*_SAMPLERS), ", ".join(_SAMPLERS)),
    "OTEL_BSP_SCHEDULE_DELAY": _MILLISECONDS,
    "OTEL_BSP_EXPORT_TIMEOUT": _MILLISECONDS,
    "OTEL_BSP_MAX_QUEUE_SIZE": _COUNT,
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": _COUNT,
    "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": _URL,
    "OTEL_EXPORTER_OTLP_LOGS_TIMEOUT": _SECONDS,
    "OTEL_EXPORTER_OTLP_LOGS_COMPRESSION": _COMPRESSION,
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": _URL,
    "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT": _SECONDS,
    "OTEL_EXPORTER_OTLP_METRICS_COMPRESSION": _COMPRESSION,
    "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": (
        one_of("grpc", "http/protobuf"),
        "grpc or http/protobuf",
    ),
    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": (
        lambda text: one_of(*_TEMPORALITIES)(text.lower()),
        ", ".join(_TEMPORALITIES),
    ),
    "OTEL_METRIC_EXPORT_INTERVAL": _MILLISECONDS,
    "OTEL_METRIC_EXPORT_TIMEOUT": _MILLISECONDS,
    "OTEL_BLRP_SCHEDULE_DELAY": _MILLISECONDS,
    "OTEL_BLRP_EXPORT_TIMEOUT": _MILLISECONDS,
    "OTEL_BLRP_MAX_QUEUE_SIZE": _COUNT,
    "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE": _COUNT,
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
        specs[_SAMPLER_ARGUMENT] = (ratio, "a number from 0 to 1")
    for variable, (parser, allowed) in specs.items():
        text = variables.get(variable, "").strip()
        if text:
            read_setting(variable, text, {"parser": parser, "allowed": allowed})
