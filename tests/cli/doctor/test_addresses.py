from __future__ import annotations

from argparse import Namespace

import pytest

from otel_callbacks import SettingError, Settings
from otel_callbacks.cli.doctor.addresses import Address, address, addresses


def _options(**values: object) -> Namespace:
    """Return what a command line without options says, but for some."""
    names = ("collector", "jaeger", "metrics", "prometheus", "grafana")
    return Namespace(**{**dict.fromkeys(names), "skip": [], **values})


def test_defaults_are_those_of_the_compose_file() -> None:
    """On loopback; the Collector's port follows the protocol."""
    found = addresses(_options(), Settings(), {})
    assert [
        one.url if one else None
        for one in (
            found.collector,
            found.jaeger,
            found.prometheus,
            found.grafana,
            found.metrics,
        )
    ] == [
        "http://127.0.0.1:4317",
        "http://127.0.0.1:16686",
        "http://127.0.0.1:9090",
        "http://127.0.0.1:3000",
        "http://127.0.0.1:9464/metrics",
    ]
    other = addresses(_options(), Settings(protocol="http/protobuf"), {})
    assert other.collector.port == 4318
    assert other.chosen == ""


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:1"}, "http://c:1"),
        (
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:1",
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t:2/v1/traces",
            },
            "http://t:2/v1/traces",
        ),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "c:1"}, "https://c:1"),
        (
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": "c:1",
                "OTEL_EXPORTER_OTLP_INSECURE": "true",
            },
            "http://c:1",
        ),
    ],
)
def test_collector_is_where_the_environment_says(
    environ: dict[str, str], expected: str
) -> None:
    """By OpenTelemetry's names; without a scheme it is TLS, as in the exporter."""
    assert addresses(_options(), Settings(), environ).collector.url == expected


def test_options_come_first() -> None:
    """Before the environment, and /metrics is filled in."""
    options = _options(
        collector="c:1", jaeger="https://j/base/", metrics="http://app:9464"
    )
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://other:1"}
    found = addresses(options, Settings(), environ)
    assert found.collector == Address("http://c:1", "c", 1, tls=False)
    assert found.jaeger == Address("https://j/base", "j", 443, tls=True)
    assert found.metrics is not None
    assert found.metrics.url == "http://app:9464/metrics"
    named = addresses(_options(metrics="http://app/own"), Settings(), {}).metrics
    assert named is not None
    assert named.url == "http://app/own"


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("0.0.0.0", "http://127.0.0.1:9464/metrics"),  # noqa: S104
        ("::1", "http://[::1]:9464/metrics"),
        ("app", "http://app:9464/metrics"),
    ],
)
def test_series_are_where_the_handler_serves_them(host: str, url: str) -> None:
    """An address that means all interfaces is asked on loopback."""
    found = addresses(_options(), Settings(prometheus_host=host), {}).metrics
    assert found is not None
    assert found.url == url


def test_app_without_metrics_has_no_address() -> None:
    """Because it serves none, or because nobody wants to know."""
    unserved = Settings(metrics_exporter="none")
    assert addresses(_options(), unserved, {}).metrics is None
    free = Settings(prometheus_port=0)
    assert addresses(_options(skip=["metrics"]), free, {}).metrics is None
    with pytest.raises(SettingError, match="only the app knows"):
        addresses(_options(), free, {})


def test_password_becomes_a_header_and_is_not_shown() -> None:
    """Neither in the address nor in a refusal."""
    found = address("--grafana", "http://admin:s%40lt@localhost:3000/")
    assert found.url == "http://localhost:3000"
    assert found.login == "Basic YWRtaW46c0BsdA=="
    with pytest.raises(SettingError) as caught:
        address("--grafana", "ftp://admin:salt@localhost")
    assert str(caught.value).startswith("--grafana=ftp://localhost: allowed is a URL")


@pytest.mark.parametrize(
    "url", ["localhost:1", "http://", "http://a:0", "http://a:99999", "http://[a"]
)
def test_what_is_no_url_is_refused(url: str) -> None:
    """With the option's name."""
    with pytest.raises(SettingError, match="--jaeger="):
        address("--jaeger", url)
