"""Variables of OpenTelemetry's SDK, refused by name before it falls back."""

from __future__ import annotations

import pytest

from otel_callbacks._setting_values import SettingError
from otel_callbacks.settings import check_sdk_variables

YES_OR_NO = "true or false"
URL = "a URL such as http://localhost:4317"
SECONDS = "a number of seconds above 0"
MILLISECONDS = "a whole number of milliseconds above 0"
WHOLE = "a whole number above 0"
COMPRESSION = "none, gzip or deflate"
SAMPLERS = (
    "always_on, always_off, traceidratio, parentbased_always_on, "
    "parentbased_always_off, parentbased_traceidratio"
)
# variable, texts that are right, texts that are refused, what is allowed
OF_THE_SDK = [
    (
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        ["http://localhost:4317", "collector:4317", "https://otel.example", "[::1]:4"],
        ["ftp://a", "http://", "http://a:99999", "http://a:0", "://"],
        URL,
    ),
    ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", ["http://a/v1/traces"], ["http://:1"], URL),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", ["10", "0.5"], ["0", "soon", "nan"], SECONDS),
    ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", ["3"], ["-3"], SECONDS),
    (
        "OTEL_EXPORTER_OTLP_COMPRESSION",
        ["none", "gzip", "deflate"],
        ["zip"],
        COMPRESSION,
    ),
    ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", ["gzip"], ["GZIP "], COMPRESSION),
    ("OTEL_EXPORTER_OTLP_INSECURE", ["true", "false"], ["perhaps"], YES_OR_NO),
    ("OTEL_TRACES_SAMPLER", ["always_on", "traceidratio"], ["sometimes"], SAMPLERS),
    ("OTEL_BSP_SCHEDULE_DELAY", ["1", "5000"], ["0", "1.5"], MILLISECONDS),
    ("OTEL_BSP_EXPORT_TIMEOUT", ["30000"], ["-1"], MILLISECONDS),
    ("OTEL_BSP_MAX_QUEUE_SIZE", ["2048"], ["0", "all"], WHOLE),
    ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", ["512"], ["none"], WHOLE),
]


@pytest.mark.parametrize("text", ["", "   "])
def test_empty_variable_is_not_set(text: str) -> None:
    """A variable that is empty counts as not set, as OpenTelemetry says."""
    check_sdk_variables(dict.fromkeys([name for name, *_ in OF_THE_SDK], text))


@pytest.mark.parametrize(
    ("variable", "text"),
    [(variable, text) for variable, texts, _, _ in OF_THE_SDK for text in texts],
)
def test_right_values_of_the_sdk_pass(variable: str, text: str) -> None:
    """What OpenTelemetry's SDK understands is not refused."""
    check_sdk_variables({variable: text})


@pytest.mark.parametrize(
    ("variable", "text", "allowed"),
    [
        (variable, text, allowed)
        for variable, _, texts, allowed in OF_THE_SDK
        for text in texts
    ],
)
def test_wrong_values_of_the_sdk_are_refused(
    variable: str, text: str, allowed: str
) -> None:
    """Where the SDK would silently take its default, the variable is refused."""
    with pytest.raises(SettingError) as refused:
        check_sdk_variables({variable: text})
    assert str(refused.value) == f"{variable}={text.strip()}: allowed is {allowed}"


@pytest.mark.parametrize("sampler", ["traceidratio", "parentbased_traceidratio"])
def test_sampler_ratio_is_checked_where_it_counts(sampler: str) -> None:
    """The ratio must be a share, if a sampler that uses it is chosen."""
    for text in ("0", "0.25", "1"):
        check_sdk_variables(
            {"OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": text}
        )
    for text in ("-0.1", "1.1", "half", "nan"):
        with pytest.raises(SettingError) as refused:
            check_sdk_variables(
                {"OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": text}
            )
        assert str(refused.value) == (
            f"OTEL_TRACES_SAMPLER_ARG={text}: allowed is a number from 0 to 1"
        )
    # Another sampler's argument is its own affair.
    check_sdk_variables(
        {"OTEL_TRACES_SAMPLER": "always_on", "OTEL_TRACES_SAMPLER_ARG": "half"}
    )


def test_sdk_variables_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an argument the process's variables are checked."""
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "none")
    with pytest.raises(SettingError, match="OTEL_BSP_MAX_QUEUE_SIZE=none"):
        check_sdk_variables()
