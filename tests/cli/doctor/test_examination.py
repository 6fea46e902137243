from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

import pytest

from otel_callbacks import SettingError, Settings
from otel_callbacks.cli import parser_for
from otel_callbacks.cli.doctor import HOPS
from otel_callbacks.cli.doctor.examination import Examination, addresses

if TYPE_CHECKING:
    from loopback_servers import FakeStack


def _examination(stack: FakeStack, *skip: str) -> Examination:
    """Return an examination of a stack."""
    options = Namespace(
        collector=stack.receiver.url,
        jaeger=stack.jaeger.url,
        metrics=stack.metrics.url,
        prometheus=stack.prometheus.url,
        grafana=stack.grafana.url,
        skip=[*skip],
    )
    where = addresses(options, Settings(), {})
    return Examination(where, Settings(), frozenset(skip), 5.0)


def test_hops_are_reported_one_by_one(stack: FakeStack) -> None:
    """Each by its name before it is looked at, and whole when it is over."""
    printed: list[str] = []
    report = _examination(stack).report(
        lambda name: printed.append(f"{name}?"),
        lambda hop: printed.append(f"{hop.name}!"),
    )
    assert printed == [f"{name}{sign}" for name in HOPS for sign in "?!"]
    assert tuple(hop.name for hop in report.hops) == HOPS
    assert report.broken == ()


def test_several_troubles_of_one_hop_are_all_reported(stack: FakeStack) -> None:
    """Prometheus is asked everything, though its first answer was a trouble."""
    stack.flags = {"enable-feature": "", "web.enable-otlp-receiver": "false"}
    (hop,) = _examination(stack).report().broken
    assert hop.name == "prometheus"
    assert [trouble.reason.partition(":")[0] for trouble in hop.troubles] == [
        "no exemplar storage",
        "the OTLP receiver is off",
    ]


def test_everything_behind_the_handler_can_be_left_out(stack: FakeStack) -> None:
    """Nothing is asked, not even for evidence."""
    hops = ("collector", "jaeger", "metrics", "prometheus", "grafana")
    report = _examination(stack, *hops).report()
    assert [hop.state for hop in report.hops] == ["reached", *["skipped"] * 5]
    assert stack.prometheus.requests == []
    assert report.trace_id == ""


def test_jaeger_may_have_all_the_time(stack: FakeStack) -> None:
    """When Prometheus does not want any of it."""
    report = _examination(stack, "prometheus").report()
    assert report.broken == ()
    assert report.trace_id in stack.receiver.traces


def _options(**values: object) -> Namespace:
    """Return what a command line without options says, but for some."""
    options = parser_for(["doctor"]).parse_args(["doctor"])
    return Namespace(**{**vars(options), **values})


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
def test_collector_address_is_from_the_environment(
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
    for one, expected in (
        (found.collector, ("http://c:1", "c", 1, False, "")),
        (found.jaeger, ("https://j/base", "j", 443, True, "")),
    ):
        assert (one.url, one.host, one.port, one.tls, one.login) == expected
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
    options = _options(grafana="http://admin:s%40lt@localhost:3000/")
    found = addresses(options, Settings(), {}).grafana
    assert found.url == "http://localhost:3000"
    assert found.login == "Basic YWRtaW46c0BsdA=="
    with pytest.raises(SettingError) as caught:
        addresses(_options(grafana="ftp://admin:salt@localhost"), Settings(), {})
    assert str(caught.value).startswith("--grafana=ftp://localhost: must be a URL")


@pytest.mark.parametrize(
    "url",
    [
        "localhost:1",
        "ftp://a:21",
        "http://",
        "http://a:0",
        "http://a:99999",
        "http://[a",
    ],
)
def test_what_is_no_url_is_refused(url: str) -> None:
    """With the option's name."""
    with pytest.raises(SettingError, match="--jaeger="):
        addresses(_options(jaeger=url), Settings(), {})


@pytest.mark.parametrize(
    ("option", "environ", "path"),
    [
        (None, {}, "/v1/traces"),
        (None, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318/"}, "/v1/traces"),
        (None, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c/otlp"}, "/otlp/v1/traces"),
        (None, {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318"}, "/"),
        (
            "http://c",
            {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://d/x"},
            "/v1/traces",
        ),
        ("http://c/v1/traces", {}, "/v1/traces"),
    ],
)
def test_spans_go_to_the_path_that_the_exporter_takes(
    option: str | None, environ: dict[str, str], path: str
) -> None:
    """It adds the signal's path to the base, and to nothing else."""
    options = _options(collector=option, skip=["metrics"])
    assert addresses(options, Settings(), environ).path == path


def test_an_http_address_without_a_scheme_is_refused() -> None:
    """The exporter over HTTP cannot send there at all."""
    options = _options(collector=None, skip=["metrics"])
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "otel-collector:4318"}
    with pytest.raises(SettingError, match="a URL with its scheme: http://otel-c"):
        addresses(options, Settings(protocol="http/protobuf"), environ)
