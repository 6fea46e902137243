"""Settings: read once, refused by name, value and what is allowed."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.util.re import parse_env_headers

from otel_callbacks import SettingError
from otel_callbacks.settings import Settings, check_sdk_variables

if TYPE_CHECKING:
    from pathlib import Path

TABLE = {
    "sdk_disabled": False,
    "strict": False,
    "extensions": True,
    "label_limit": 100,
    "series_limit": 10_000,
    "run_time_limit": 3600.0,
    "run_limit": 20_000,
    "traces_exporter": "otlp",
    "metrics_exporter": "prometheus",
    "protocol": "grpc",
    "prometheus_host": "127.0.0.1",
    "prometheus_port": None,
    "traces_protocol": None,
    "metrics_protocol": None,
    "logs_protocol": None,
    "logs_exporter": "otlp",
    "capture_content": "NO_CONTENT",
    "content_limit": 32_768,
    "emit_event": None,
    "prices": "",
    "labels": "",
    "budget_tokens": None,
    "budget_cost_usd": None,
    "budget_calls": None,
    "budget_on_exceed": "raise",
}
DEFAULTS = dataclasses.asdict(Settings())

CAPTURE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
EMIT = "OTEL_INSTRUMENTATION_GENAI_EMIT_EVENT"

# variable, field, text, value
READ = [
    ("OTEL_SDK_DISABLED", "sdk_disabled", "true", True),
    ("OTEL_SDK_DISABLED", "sdk_disabled", "False", False),
    ("OTEL_CALLBACKS_STRICT", "strict", "1", True),
    ("OTEL_CALLBACKS_STRICT", "strict", "YES", True),
    ("OTEL_CALLBACKS_EXTENSIONS", "extensions", "off", False),
    ("OTEL_CALLBACKS_EXTENSIONS", "extensions", "0", False),
    ("OTEL_CALLBACKS_EXTENSIONS", "extensions", "no", False),
    ("OTEL_CALLBACKS_LABEL_LIMIT", "label_limit", "1", 1),
    ("OTEL_CALLBACKS_SERIES_LIMIT", "series_limit", "1", 1),
    ("OTEL_CALLBACKS_LABEL_LIMIT", "label_limit", "1000000", 1_000_000),
    ("OTEL_CALLBACKS_RUN_TIME_LIMIT", "run_time_limit", "0.5", 0.5),
    ("OTEL_CALLBACKS_RUN_TIME_LIMIT", "run_time_limit", " 90 ", 90.0),
    ("OTEL_CALLBACKS_RUN_LIMIT", "run_limit", "7", 7),
    ("OTEL_CALLBACKS_SHORTEST_STEP", "shortest_step", "0.001", 0.001),
    ("OTEL_TRACES_EXPORTER", "traces_exporter", "console", "console"),
    ("OTEL_TRACES_EXPORTER", "traces_exporter", "none", "none"),
    ("OTEL_METRICS_EXPORTER", "metrics_exporter", "none", "none"),
    ("OTEL_METRICS_EXPORTER", "metrics_exporter", "both", "both"),
    ("OTEL_METRICS_EXPORTER", "metrics_exporter", "otlp, prometheus", "both"),
    ("OTEL_LOGS_EXPORTER", "logs_exporter", "console", "console"),
    (CAPTURE, "capture_content", "span_and_event", "SPAN_AND_EVENT"),
    (EMIT, "emit_event", "true", True),
    ("OTEL_CALLBACKS_CONTENT_LIMIT", "content_limit", "1024", 1_024),
    ("OTEL_CALLBACKS_PRICES", "prices", "prices.toml", "prices.toml"),
    ("OTEL_CALLBACKS_BUDGET_TOKENS", "budget_tokens", "1000", 1_000),
    ("OTEL_CALLBACKS_BUDGET_COST_USD", "budget_cost_usd", "0.5", 0.5),
    ("OTEL_CALLBACKS_BUDGET_CALLS", "budget_calls", "10", 10),
    ("OTEL_CALLBACKS_BUDGET_ON_EXCEED", "budget_on_exceed", "warn", "warn"),
    ("OTEL_EXPORTER_OTLP_PROTOCOL", "protocol", "http/protobuf", "http/protobuf"),
    ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "traces_protocol", "grpc", None),
    ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "metrics_protocol", "grpc", None),
    ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "logs_protocol", "http/protobuf", None),
    ("OTEL_EXPORTER_PROMETHEUS_HOST", "prometheus_host", "0.0.0.0", None),  # noqa: S104
    ("OTEL_EXPORTER_PROMETHEUS_PORT", "prometheus_port", "0", 0),
    ("OTEL_EXPORTER_PROMETHEUS_PORT", "prometheus_port", "65535", 65_535),
]

YES_OR_NO = "true or false"
SECONDS = "a number of seconds above 0"
ABOVE_0 = "a whole number above 0"
A_MILLION = "a whole number from 1 to 1000000"
# variable, field, texts that are refused, what is allowed
REFUSED: list[tuple[str, str, list[Any], str]] = [
    ("OTEL_SDK_DISABLED", "sdk_disabled", ["maybe", "2"], YES_OR_NO),
    ("OTEL_CALLBACKS_STRICT", "strict", ["ja"], YES_OR_NO),
    ("OTEL_CALLBACKS_EXTENSIONS", "extensions", ["-"], YES_OR_NO),
    (
        "OTEL_CALLBACKS_LABEL_LIMIT",
        "label_limit",
        ["0", "-1", "1000001", "ten", "1.5"],
        A_MILLION,
    ),
    (
        "OTEL_CALLBACKS_RUN_TIME_LIMIT",
        "run_time_limit",
        ["0", "-1", "nan", "inf", "1e99", "an hour"],
        "a number of seconds above 0",
    ),
    ("OTEL_CALLBACKS_RUN_LIMIT", "run_limit", ["0", "many"], A_MILLION),
    ("OTEL_CALLBACKS_SHORTEST_STEP", "shortest_step", ["0", "nan", "1 ms"], SECONDS),
    (
        "OTEL_TRACES_EXPORTER",
        "traces_exporter",
        ["zipkin", "OTLP"],
        "otlp, console, waterfall or none",
    ),
    (
        "OTEL_METRICS_EXPORTER",
        "metrics_exporter",
        ["statsd", "console", "otlp,console", ","],
        "prometheus, otlp, both or none",
    ),
    (
        "OTEL_EXPORTER_OTLP_PROTOCOL",
        "protocol",
        ["http/json", "http"],
        "grpc or http/protobuf",
    ),
    (
        "OTEL_EXPORTER_PROMETHEUS_PORT",
        "prometheus_port",
        ["-1", "65536", "http"],
        "a port from 0 to 65535",
    ),
    ("OTEL_LOGS_EXPORTER", "logs_exporter", ["file"], "otlp, console or none"),
    (
        CAPTURE,
        "capture_content",
        ["yes", "true"],
        "NO_CONTENT, SPAN_ONLY, EVENT_ONLY or SPAN_AND_EVENT",
    ),
    (EMIT, "emit_event", ["perhaps"], YES_OR_NO),
    (
        "OTEL_CALLBACKS_CONTENT_LIMIT",
        "content_limit",
        ["0", "1000"],
        "a number of bytes from 1024 to 1000000",
    ),
    ("OTEL_CALLBACKS_BUDGET_TOKENS", "budget_tokens", ["0", "-5", "1.5"], ABOVE_0),
    (
        "OTEL_CALLBACKS_BUDGET_COST_USD",
        "budget_cost_usd",
        ["0", "-1", "nan", "inf", "$5"],
        "an amount of dollars above 0",
    ),
    ("OTEL_CALLBACKS_BUDGET_CALLS", "budget_calls", ["0", "few"], ABOVE_0),
    (
        "OTEL_CALLBACKS_BUDGET_ON_EXCEED",
        "budget_on_exceed",
        ["stop"],
        "raise or warn",
    ),
]


def test_defaults() -> None:
    """An empty environment gives the documented defaults."""
    assert TABLE.items() <= DEFAULTS.items()
    assert Settings() == Settings.from_env({})


def test_own_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an argument the variables of the process are read."""
    monkeypatch.setenv("OTEL_CALLBACKS_LABEL_LIMIT", "3")
    assert Settings.from_env().label_limit == 3


@pytest.mark.parametrize(("variable", "field", "text", "value"), READ)
def test_variable_is_read(variable: str, field: str, text: str, value: Any) -> None:
    """Each variable sets its field and no other."""
    expected = DEFAULTS | {field: text if value is None else value}
    assert dataclasses.asdict(Settings.from_env({variable: text})) == expected


@pytest.mark.parametrize("text", ["", "   "])
def test_empty_variable_is_not_set(text: str) -> None:
    """A variable that is empty counts as not set, as OpenTelemetry says."""
    environ = dict.fromkeys({name for name, *_ in READ}, text)
    assert dataclasses.asdict(Settings.from_env(environ)) == DEFAULTS


@pytest.mark.parametrize(
    ("variable", "field", "text", "allowed"),
    [
        (variable, field, text, allowed)
        for variable, field, texts, allowed in REFUSED
        for text in texts
    ],
)
def test_wrong_value_is_refused_by_name(
    variable: str, field: str, text: str, allowed: str
) -> None:
    """A wrong value is refused with its variable, itself, and what is allowed."""
    expected = f"{variable}={text}: must be {allowed}"
    with pytest.raises(SettingError) as from_environment:
        Settings.from_env({variable: text})
    assert str(from_environment.value) == expected
    assert from_environment.value.variable == variable
    assert from_environment.value.value == text
    assert from_environment.value.allowed == allowed
    arguments: dict[str, Any] = {field: text}
    with pytest.raises(SettingError) as from_argument:
        Settings(**arguments)
    assert from_argument.value.variable == variable
    assert from_argument.value.allowed == allowed


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("label_limit", 0, f"OTEL_CALLBACKS_LABEL_LIMIT=0: must be {A_MILLION}"),
        (
            "label_limit",
            "5",
            f"OTEL_CALLBACKS_LABEL_LIMIT='5': must be {A_MILLION}",
        ),
        ("strict", "no", f"OTEL_CALLBACKS_STRICT='no': must be {YES_OR_NO}"),
        ("strict", None, f"OTEL_CALLBACKS_STRICT=None: must be {YES_OR_NO}"),
        ("run_limit", True, f"OTEL_CALLBACKS_RUN_LIMIT=True: must be {A_MILLION}"),
        (
            "run_time_limit",
            float("nan"),
            "OTEL_CALLBACKS_RUN_TIME_LIMIT=nan: must be a number of seconds above 0",
        ),
    ],
)
def test_wrong_argument_is_refused_by_name(
    field: str, value: Any, message: str
) -> None:
    """In code, text is not accepted for a number or a flag."""
    arguments = {field: value}
    with pytest.raises(SettingError) as refused:
        Settings(**arguments)
    assert str(refused.value) == message


def test_right_arguments_are_kept() -> None:
    """Whole seconds do as well as parts of them."""
    settings = Settings(run_time_limit=90, label_limit=1, extensions=False)
    assert (settings.run_time_limit, settings.label_limit) == (90, 1)
    assert settings.extensions is False


@pytest.mark.parametrize("signal", ["traces", "metrics", "logs"])
def test_protocol_of_a_signal_comes_first(signal: str) -> None:
    """It is preferred to the one for all signals, and holds for its signal alone."""
    both = {
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL": "http/protobuf",
    }
    settings = Settings.from_env(both)
    found = {one: settings.protocol_of(one) for one in ("traces", "metrics", "logs")}
    assert found.pop(signal) == "http/protobuf"
    assert set(found.values()) == {"grpc"}
    with pytest.raises(SettingError) as refused:
        Settings.from_env({"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json"})
    assert str(refused.value) == (
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/json: must be grpc or http/protobuf"
    )


@pytest.mark.parametrize(
    ("environ", "variable"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "host:4318"}, "OTEL_EXPORTER_OTLP_ENDPOINT"),
        (
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://host:4318",
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "host:4318/v1/traces",
            },
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        ),
        (
            {
                "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
                "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "http/protobuf",
                "OTEL_EXPORTER_OTLP_ENDPOINT": "host:4317",
                EMIT: "true",
            },
            "OTEL_EXPORTER_OTLP_ENDPOINT",
        ),
    ],
)
def test_http_endpoint_without_a_scheme_is_refused(
    environ: dict[str, str], variable: str
) -> None:
    """The exporter would fail at every export; gRPC's means TLS, which is allowed."""
    environ = {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", **environ}
    with pytest.raises(SettingError, match="a URL with a scheme, such as") as refused:
        check_sdk_variables(environ)
    assert refused.value.variable == variable
    check_sdk_variables(
        {name: value for name, value in environ.items() if "PROTOCOL" not in name}
    )
    check_sdk_variables({**environ, "OTEL_TRACES_EXPORTER": "none", EMIT: "false"})


@pytest.mark.parametrize("variable", ["", "TRACES_"])
def test_compression_that_grpc_lacks_is_refused(variable: str) -> None:
    """Its exporter would fail at every export; HTTP's has it."""
    variable = f"OTEL_EXPORTER_OTLP_{variable}COMPRESSION"
    with pytest.raises(SettingError, match="none or gzip, for OTLP over gRPC"):
        check_sdk_variables({variable: "deflate"})
    over_http = {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}
    check_sdk_variables({variable: "deflate", **over_http})


@pytest.mark.parametrize("signal", ["", "TRACES_", "METRICS_", "LOGS_"])
@pytest.mark.parametrize(
    "text", ["sk-very-secret", "a=b,sk-very-secret", "=sk-very-secret", "a=sk-very;b"]
)
def test_headers_that_are_none_are_refused_without_their_text(
    signal: str, text: str
) -> None:
    """The exporters would log the key that they cannot read, and go on without it."""
    variable = f"OTEL_EXPORTER_OTLP_{signal}HEADERS"
    with pytest.raises(SettingError, match="must be name=value") as refused:
        check_sdk_variables({variable: text})
    assert refused.value.variable == variable
    assert "sk-" not in str(refused.value)


@pytest.mark.parametrize(
    "text", ["authorization=Bearer%20k", "x-key=a b==, y=1,", "api-key=", " a = b "]
)
def test_headers_are_as_the_exporters_read_them(
    text: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Accepted headers are accepted by the exporters too."""
    check_sdk_variables({"OTEL_EXPORTER_OTLP_HEADERS": text})
    assert parse_env_headers(text, liberal=True)
    assert caplog.messages == []


def test_sampler_of_a_package_is_allowed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A sampler with an entry point is allowed."""
    environ = {"OTEL_TRACES_SAMPLER": "ours"}
    with pytest.raises(SettingError, match="opentelemetry_traces_sampler"):
        check_sdk_variables(environ)
    metadata = tmp_path / "ours-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Name: ours\nVersion: 1.0\n")
    entry_points = "[opentelemetry_traces_sampler]\nours = package:sampler\n"
    (metadata / "entry_points.txt").write_text(entry_points)
    monkeypatch.syspath_prepend(tmp_path)
    check_sdk_variables(environ)


def test_settings_are_frozen() -> None:
    """Settings are frozen and take only keywords."""
    settings = Settings(label_limit=7)
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.label_limit = 8  # type: ignore[misc]
    positional: Any = Settings
    with pytest.raises(TypeError):
        positional(True)  # noqa: FBT003


@pytest.mark.parametrize(
    "wrong", [{"label_limit": "5"}, {"sdk_disabled": "false"}, {"strict": None}]
)
def test_text_is_no_number_in_code(wrong: dict[str, Any]) -> None:
    """Text for a number is accepted in the environment but not in code."""
    with pytest.raises(SettingError):
        Settings(**wrong)


URL = "a URL such as http://localhost:4317"
MILLISECONDS = "a whole number of milliseconds above 0"
WHOLE = "a whole number above 0"
COMPRESSION = "none, gzip or deflate"
A_FILE = "the path of a file that can be read"
SAMPLERS = (
    "always_on, always_off, traceidratio, parentbased_always_on, "
    "parentbased_always_off, parentbased_traceidratio, or one that a package brings "
    "(entry points of the group opentelemetry_traces_sampler)"
)
# variable, texts that are right, texts that are refused, what is allowed
OF_THE_SDK = [
    (
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        ["http://localhost:4317", "collector:4317", "https://otel.example", "[::1]:4"],
        ["ftp://a", "http://", "http://a:99999", "http://a:0", "://", "http://a b"],
        URL,
    ),
    ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", ["http://a/v1/traces"], ["http://:1"], URL),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", ["10", "0.5"], ["0", "soon", "nan"], SECONDS),
    ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", ["3"], ["-3"], SECONDS),
    (
        "OTEL_EXPORTER_OTLP_COMPRESSION",
        ["none", "gzip"],
        ["zip"],
        COMPRESSION,
    ),
    ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", ["gzip"], ["GZIP "], COMPRESSION),
    ("OTEL_EXPORTER_OTLP_INSECURE", ["true", "false"], ["perhaps"], YES_OR_NO),
    ("OTEL_EXPORTER_OTLP_LOGS_INSECURE", ["TRUE"], ["2"], YES_OR_NO),
    ("OTEL_EXPORTER_OTLP_CERTIFICATE", [__file__], ["/none", "/"], A_FILE),
    ("OTEL_EXPORTER_OTLP_METRICS_CLIENT_KEY", [__file__], ["none.pem"], A_FILE),
    (
        "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
        ["base2_exponential_bucket_histogram", "EXPLICIT_BUCKET_HISTOGRAM"],
        ["exponential"],
        "explicit_bucket_histogram or base2_exponential_bucket_histogram",
    ),
    ("OTEL_TRACES_SAMPLER", ["always_on", "traceidratio"], ["sometimes"], SAMPLERS),
    ("OTEL_BSP_SCHEDULE_DELAY", ["1", "5000"], ["0", "1.5"], MILLISECONDS),
    ("OTEL_BSP_EXPORT_TIMEOUT", ["30000"], ["-1"], MILLISECONDS),
    ("OTEL_BSP_MAX_QUEUE_SIZE", ["2048"], ["0", "all"], WHOLE),
    ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", ["512"], ["none"], WHOLE),
]


@pytest.mark.parametrize("text", ["", "   "])
def test_empty_variable_is_not_set_of_sdk_variables(text: str) -> None:
    """A variable that is empty counts as not set, as OpenTelemetry says."""
    check_sdk_variables(dict.fromkeys([name for name, *_ in OF_THE_SDK], text))


@pytest.mark.parametrize(
    ("variable", "text"),
    [(variable, text) for variable, texts, _, _ in OF_THE_SDK for text in texts],
)
def test_right_values_of_the_sdk_pass(variable: str, text: str) -> None:
    """Values that OpenTelemetry's SDK accepts are not refused."""
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
    """A value that the SDK would silently replace by its default is refused."""
    with pytest.raises(SettingError) as refused:
        check_sdk_variables({variable: text})
    assert str(refused.value) == f"{variable}={text.strip()}: must be {allowed}"


@pytest.mark.parametrize("sampler", ["traceidratio", "parentbased_traceidratio"])
def test_sampler_ratio_is_checked_where_it_counts(sampler: str) -> None:
    """The ratio must be from 0 to 1 if the chosen sampler uses it."""
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
            f"OTEL_TRACES_SAMPLER_ARG={text}: must be a number from 0 to 1"
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
