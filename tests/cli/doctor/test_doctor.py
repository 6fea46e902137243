from __future__ import annotations

import _thread
import io
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from loopback_servers import Page, Receiver, Web
from waiting import WAIT_S

from otel_callbacks.cli import doctor, main

# What a terminal shows depends on its width and its encoding.
from otel_callbacks.cli._common import Output
from otel_callbacks.cli.doctor.probe import Finding, Hop, Report

if TYPE_CHECKING:
    from loopback_servers import FakeStack


def _run(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> tuple[int, dict[str, Any]]:
    """Run the doctor and return its exit code and its hops by name."""
    code = main(["doctor", "--json", *arguments])
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] == (code == 0)
    return code, {hop["name"]: hop for hop in report["hops"]}


def _broken(hops: dict[str, Any]) -> dict[str, list[str]]:
    """Return the reasons of the broken hops."""
    return {
        name: [trouble["reason"] for trouble in hop["troubles"]]
        for name, hop in hops.items()
        if hop["state"] == "broken"
    }


def test_all_is_well(stack: FakeStack, capsys: pytest.CaptureFixture[str]) -> None:
    """Every hop is reached, and the reported trace is in Jaeger."""
    assert main(["doctor", "--json", *stack.options()]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is True
    assert stack.receiver.traces == {report["trace_id"]: 3}
    assert {hop["name"]: hop["state"] for hop in report["hops"]} == dict.fromkeys(
        ("handler", "collector", "jaeger", "metrics", "prometheus", "grafana"),
        "reached",
    )
    assert all(0 <= hop["seconds"] < report["seconds"] for hop in report["hops"])
    assert report["service"] == "otel-callbacks-doctor"
    assert len(report["instance"]) == 32


@pytest.mark.parametrize("hop", ["jaeger", "metrics", "prometheus", "grafana"])
def test_server_that_is_stopped_is_the_broken_hop(
    hop: str, stack: FakeStack, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only this hop is broken, with the option for another address."""
    getattr(stack, hop).stop()
    code, hops = _run(capsys, stack.options())
    port = getattr(stack, hop).port
    assert code == 1
    assert _broken(hops) == {
        hop: [f"connection refused: nothing listens on 127.0.0.1:{port}"]
    }
    assert f"--{hop} URL" in hops[hop]["troubles"][0]["remedy"]


def test_collector_that_is_stopped_is_the_broken_hop(
    stack: FakeStack, capsys: pytest.CaptureFixture[str]
) -> None:
    """Later hops answer, but no trace can be followed to them."""
    stack.receiver.stop()
    code, hops = _run(capsys, stack.options())
    assert code == 1
    assert [*_broken(hops)] == ["collector"]
    assert {hop["state"] for name, hop in hops.items() if name != "collector"} == {
        "reached",
        "answers",
    }
    assert hops["jaeger"]["saw"] == "answers; no trace was sent"


def test_wrong_protocol_is_named(
    stack: FakeStack,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The remedy names the variable."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    code, hops = _run(capsys, stack.options())
    assert code == 1
    where = f"127.0.0.1:{stack.receiver.port}"
    reason = f"wrong protocol on the port: {where} speaks grpc, not http/protobuf"
    assert _broken(hops) == {"collector": [reason]}
    remedy = hops["collector"]["troubles"][0]["remedy"]
    assert "OTEL_EXPORTER_OTLP_PROTOCOL=grpc" in remedy


def test_what_an_environment_lacks_for_its_backend_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With and without a server at the address."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:5000")
    assert main(["doctor", "--only", "collector", "--timeout", "1"]) == 1
    output = " ".join(capsys.readouterr().out.split())
    assert "MLflow needs the header x-mlflow-experiment-id" in output


def test_sampled_away_is_named(
    stack: FakeStack, capsys: pytest.CaptureFixture[str]
) -> None:
    """The Collector's own series are the evidence."""
    stack.keeps_traces = False

    def query(parameters: dict[str, str]) -> Page:
        stack.series["timestamp"] = 1e12
        stack.series["sampled="] = stack.series["new_trace_id"] = 5 + len(
            stack.receiver.traces
        )
        return stack._query(parameters)

    stack.prometheus.pages["/api/v1/query"] = query
    code, hops = _run(capsys, stack.options())
    assert code == 1
    reason = (
        "sampled away: since the trace was sent, the Collector's tail sampling has "
        "dropped 1 of 1 traces"
    )
    assert _broken(hops) == {"jaeger": [reason]}


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"OTEL_SDK_DISABLED": "true"}, "OTEL_SDK_DISABLED=true: telemetry is"),
        ({"OTEL_TRACES_SAMPLER": "always_off"}, "sampled away: OTEL_TRACES_SAMPLER"),
        ({"OTEL_TRACES_EXPORTER": "none"}, "OTEL_TRACES_EXPORTER=none: spans are not"),
    ],
)
def test_switch_that_keeps_spans_back_breaks_the_handler(
    variables: dict[str, str],
    reason: str,
    stack: FakeStack,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The rest of the stack is still checked, and answers."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    code, hops = _run(capsys, stack.options())
    assert code == 1
    assert [*_broken(hops)] == ["handler"]
    assert hops["handler"]["troubles"][0]["reason"].startswith(reason)
    assert hops["collector"]["state"] == "answers"
    assert hops["collector"]["saw"] == "grpc; OK; there was no trace to send"


def test_hops_can_be_left_out(
    stack: FakeStack, capsys: pytest.CaptureFixture[str]
) -> None:
    """They may be stopped, and nothing is broken."""
    for web in (stack.prometheus, stack.metrics, stack.grafana):
        web.stop()
    skips = ["--skip=prometheus", "--skip=metrics", "--skip=grafana"]
    code, hops = _run(capsys, [*stack.options(), *skips])
    assert code == 0
    assert [name for name, hop in hops.items() if hop["state"] == "skipped"] == [
        "metrics",
        "prometheus",
        "grafana",
    ]


def test_app_without_metrics_has_no_such_hop(
    stack: FakeStack,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """OTEL_METRICS_EXPORTER=none: Prometheus is not asked for its target either."""
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "none")
    options = stack.options()
    del options[options.index("--metrics") :][:2]
    place = options.index("--metrics")
    options = options[:place] + options[place + 2 :]
    code, hops = _run(capsys, options)
    assert code == 0
    assert hops["metrics"]["state"] == "skipped"
    assert hops["metrics"]["saw"] == "OTEL_METRICS_EXPORTER=none"
    assert "series of the app" not in hops["prometheus"]["saw"]


def test_it_prints_for_people(
    stack: FakeStack,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Piped, at 80 columns: a line for each hop, no colours, reasons and remedies."""
    monkeypatch.setenv("COLUMNS", "80")
    stack.grafana.stop()
    assert main(["doctor", *stack.options()]) == 1
    printed = capsys.readouterr()
    assert printed.err == ""
    lines = printed.out.splitlines()
    assert max(map(len, lines)) <= 80
    assert "\x1b" not in printed.out
    assert lines[0].startswith("✓ handler    3 spans of a fake chain")
    assert "connection refused" in printed.out
    assert "Broken: grafana." in lines
    assert f"Trace {next(iter(stack.receiver.traces))}" in printed.out


def test_a_process_of_its_own_ends_with_the_code(stack: FakeStack) -> None:
    """For scripts, standard output has only JSON."""
    done = subprocess.run(  # noqa: S603 -- our own program
        [
            *(sys.executable, "-m", "otel_callbacks.cli", "doctor", "--json"),
            *stack.options(),
        ],
        capture_output=True,
        encoding="utf-8",
        timeout=WAIT_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["ok"] is True


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_TRACES_SAMPLER", "sometimes"),
        ("OTEL_EXPORTER_PROMETHEUS_PORT", "0"),
    ],
)
def test_wrong_setting_is_named(
    variable: str,
    value: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit code 2, before anything is sent."""
    monkeypatch.setenv(variable, value)
    assert main(["doctor"]) == 2
    assert f"{variable}={value}: " in capsys.readouterr().err


def test_wrong_address_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """By its option."""
    assert main(["doctor", "--jaeger", "localhost:16686"]) == 2
    assert "--jaeger=localhost:16686: must be a URL" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [["--timeout", "0"], ["--timeout", "nan"], ["--skip", "handler"], ["--port", "1"]],
)
def test_wrong_usage_is_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """By argparse, with its own exit code."""
    with pytest.raises(SystemExit) as caught:
        main(["doctor", *arguments])
    assert caught.value.code == 2
    assert arguments[0] in capsys.readouterr().err


def test_it_works_without_rich(
    stack: FakeStack,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The command needs no extra."""
    monkeypatch.setitem(sys.modules, "rich", None)
    assert main(["doctor", *stack.options()]) == 0
    assert "All checked hops work." in capsys.readouterr().out


def test_http_protobuf_is_followed_too(
    stack: FakeStack,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """OpenTelemetry's HTTP exporter sends spans to /v1/traces."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    with Web({"/v1/traces": Page()}) as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        options = stack.options()[2:]
        _, hops = _run(capsys, [*options, "--skip=jaeger", "--skip=span-metrics"])
        assert hops["collector"]["saw"] == "http/protobuf; it accepted the trace"
        assert [path for path, _ in collector.requests] == ["/v1/traces"] * 2


def test_collector_alone_can_be_left_out(
    stack: FakeStack, capsys: pytest.CaptureFixture[str]
) -> None:
    """No trace is sent, without a trouble."""
    with Receiver() as unused:
        options = ["--collector", unused.url, *stack.options()[2:]]
        code, hops = _run(capsys, [*options, "--skip=collector"])
        assert unused.traces == {}
    assert code == 0
    assert hops["jaeger"]["state"] == "answers"


def test_ctrl_c_ends_it_without_a_traceback(
    stack: FakeStack, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the exit code that shells give to an interrupted program."""

    def interrupt(_: dict[str, str]) -> Page:
        _thread.interrupt_main()
        return Page(status=404)

    stack.grafana.pages["/api/health"] = interrupt
    assert main(["doctor", *stack.options()]) == 130
    assert "Traceback" not in capsys.readouterr().err


_BROKEN = Hop(
    name="collector",
    state="broken",
    address="http://127.0.0.1:4317",
    seconds=1.5,
    troubles=(Finding("connection refused: nothing listens there", "Start it."),),
    cautions=(Finding("clock skew: 17 s [bold]ahead[/]", "Set both clocks. " * 9),),
)


class _Screen(Output):
    """An output that can be read."""

    def __init__(
        self, width: int = 80, encoding: str = "utf-8", **options: bool
    ) -> None:
        self.bytes, self.encoding = io.BytesIO(), encoding
        file = io.TextIOWrapper(self.bytes, encoding=encoding, write_through=True)
        super().__init__(file=file, width=width, **options)


def _printed(out: _Screen) -> str:
    """Return the printed text."""
    return out.bytes.getvalue().decode(out.encoding)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_hop_fits_the_width(width: int) -> None:
    """Nothing is cut off; brackets are text."""
    out = _Screen(width)
    doctor.print_hop(out, _BROKEN)
    lines = _printed(out).splitlines()
    assert max(map(len, lines)) <= width
    assert lines[0] == "✗ collector  http://127.0.0.1:4317 (1.50 s)"
    words = " ".join(_printed(out).split())
    assert "connection refused: nothing listens there → Start it." in words
    assert "clock skew: 17 s [bold]ahead[/] → Set both clocks." in words


def test_terminal_without_unicode_gets_ascii() -> None:
    """Signs and arrows have ASCII replacements."""
    out = _Screen(encoding="ascii")
    doctor.print_hop(out, _BROKEN)
    assert _printed(out).startswith("x collector ")
    assert "-> Start it." in _printed(out)


def test_skipped_hop_is_marked() -> None:
    """The reason is printed, unless the user skipped it."""
    out = _Screen()
    doctor.print_hop(out, Hop(name="grafana", state="skipped", address="http://g"))
    doctor.print_hop(out, Hop(name="metrics", state="skipped", saw="none served"))
    assert _printed(out).splitlines() == [
        "- grafana    skipped",
        "- metrics    none served",
    ]


def test_verdict_names_broken_hops_and_the_trace() -> None:
    """Or that all hops work; a trace that was not sent is not named."""
    out = _Screen()
    doctor.verdict(out, Report("doctor", "mark", "abc", 1, (_BROKEN,)))
    assert _printed(out) == "\nBroken: collector.\nTrace abc of doctor\n"
    out = _Screen()
    doctor.verdict(out, Report("doctor", "mark", "", 1, ()))
    assert _printed(out) == "\nAll checked hops work.\n"


def test_terminal_shows_what_is_going_on() -> None:
    """The name of the current hop, which is overwritten later."""
    out = _Screen()
    out.overwritten("  jaeger ...")
    assert _printed(out) == ""
    out.is_terminal = True
    out.overwritten("  jaeger ...")
    out.line("a line")
    out.line("another")
    assert _printed(out) == "  jaeger ...\r\x1b[Ka line\nanother\n"


def test_only_some_hops_are_looked_at(
    stack: FakeStack, capsys: pytest.CaptureFixture[str]
) -> None:
    """The handler is always checked, because it makes the spans."""
    arguments = ["doctor", *stack.options(), "--only", "collector", "--json"]
    assert main(arguments) == 0
    hops = json.loads(capsys.readouterr().out)["hops"]
    assert [hop["state"] for hop in hops] == ["reached"] * 2 + ["skipped"] * 4
    with pytest.raises(SystemExit):
        main([*arguments, "--skip", "jaeger"])
    assert "not allowed with" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("variable", "path", "why"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "/v1/traces", "the path is doubled: HTTP 404"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "", "wrong path: HTTP 404"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "/otlp", "wrong path: HTTP 404"),
    ],
)
def test_a_wrong_path_is_not_a_wrong_server(
    variable: str,
    path: str,
    why: str,
    stack: FakeStack,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The receiver is there, and takes spans one path away."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    with Web({"/v1/traces": Page()}) as collector:
        monkeypatch.setenv(variable, f"{collector.url}{path}")
        arguments = [*stack.options()[2:], "--only", "collector"]
        code, hops = _run(capsys, arguments)
    assert code == 1
    (trouble,) = hops["collector"]["troubles"]
    assert trouble["reason"].startswith(why)
    assert "is the base" in trouble["remedy"]
