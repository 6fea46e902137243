from __future__ import annotations

import os
import socket
from contextlib import closing
from typing import TYPE_CHECKING

import httpx
import pytest
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry, Counter
from waiting import WAIT_S

from otel_callbacks import ConfiguredHandler, SettingError, Settings
from otel_callbacks.cli.demo import session as demo_session
from otel_callbacks.cli.demo import session as health_page
from otel_callbacks.cli.demo import session as stack
from otel_callbacks.cli.demo.session import HealthPage, Session, session

if TYPE_CHECKING:
    from collections.abc import Iterator


def _set_up(
    *, service_name: str, settings: Settings, registry: CollectorRegistry
) -> ConfiguredHandler:
    """Set up like configure(), without globals."""
    assert service_name == "flower-shop"
    provider = TracerProvider(shutdown_on_exit=False)
    handler = ConfiguredHandler(provider, registry, settings)
    if settings.metrics_exporter == "prometheus":
        handler.serve_metrics(registry)
    return handler


def _quiet(**settings: object) -> Settings:
    """Return settings that send nothing and use a free port."""
    return Settings(  # type: ignore[arg-type]
        **{"traces_exporter": "none", "prometheus_port": 0, "strict": True, **settings}
    )


def _get(url: str, headers: dict[str, str] | None = None) -> httpx.Response:
    """Send a GET request with a generous timeout."""
    return httpx.get(url, headers=headers, timeout=WAIT_S)


def _names(running: Session) -> list[tuple[str, str | None]]:
    """Return the finished spans and their parents."""
    return [(span["name"], span["parent"]) for span in running.spans()]


def test_calls_have_http_children_and_series() -> None:
    """The session instruments HTTP and serves the series."""
    with session(settings=_quiet(), set_up=_set_up) as running:
        running.model("gpt-4o-mini").invoke("Roses?")
        assert _names(running) == [
            ("chat gpt-4o-mini", None),
            ("POST", "chat gpt-4o-mini"),
        ]
        assert running.spans() == []
        assert "otel_callbacks_tokens_total" in _get(running.metrics_url).text
        assert (running.exports, running.moved, running.health) == (False, False, None)


def test_an_absent_http_library_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So is one without an instrumentor."""
    absent = {"no_such_library": "HTTPXClientInstrumentor", "httpx": "NoSuchName"}
    monkeypatch.setattr(demo_session, "_INSTRUMENTORS", absent)
    with session(settings=_quiet(), set_up=_set_up) as running:
        running.model("gpt-4o-mini").invoke("Roses?")
        assert _names(running) == [("chat gpt-4o-mini", None)]


def test_keep_serving_adds_a_health_check() -> None:
    """It is on the port of the series."""
    with session(keep_serving=True, settings=_quiet(), set_up=_set_up) as running:
        url = running.metrics_url
        assert _get(url).status_code == 200
        assert _get(url.replace("metrics", "healthz")).status_code == 200
    with pytest.raises(httpx.ConnectError):
        _get(url)


def test_a_port_in_use_is_replaced_by_a_free_one() -> None:
    """The session has ``moved`` set."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
        settings = _quiet(prometheus_port=port)
        with session(settings=settings, set_up=_set_up) as running:
            assert running.moved
            assert str(port) not in running.metrics_url


def test_an_address_of_another_machine_is_refused() -> None:
    """The error names the variable."""
    settings = _quiet(prometheus_host="192.0.2.1")
    with (
        pytest.raises(SettingError, match="OTEL_EXPORTER_PROMETHEUS_HOST=192"),
        session(keep_serving=True, settings=settings, set_up=_set_up),
    ):
        pass


def test_no_series_are_served_when_metrics_are_off() -> None:
    """OTEL_METRICS_EXPORTER=none applies."""
    settings = _quiet(metrics_exporter="none")
    with session(keep_serving=True, settings=settings, set_up=_set_up) as running:
        assert (running.metrics_url, running.health) == ("", None)


def test_the_real_provider_is_called_with_the_users_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No fake provider starts; key and address are from the environment."""
    monkeypatch.setenv("OPENAI_API_KEY", "of-the-user")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    with session(real=True, settings=_quiet(), set_up=_set_up) as running:
        assert running.fake is None
        llm = running.model("m", max_retries=0)
        assert llm.openai_api_key.get_secret_value() == "of-the-user"  # type: ignore[union-attr]
        with pytest.raises(Exception, match="Connection error"):
            llm.invoke("x")


def test_the_environment_is_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxies are bypassed only while the session runs."""
    monkeypatch.setenv("NO_PROXY", "example.org")
    monkeypatch.delenv("no_proxy", raising=False)
    with session(settings=_quiet(), set_up=_set_up):
        assert os.environ["NO_PROXY"] == "example.org,127.0.0.1"
        assert os.environ["no_proxy"] == "127.0.0.1"
    assert os.environ["NO_PROXY"] == "example.org"
    assert "no_proxy" not in os.environ


@pytest.fixture
def served() -> Iterator[HealthPage]:
    """Return a running health page."""
    registry = CollectorRegistry()
    Counter("flowers", "Flowers sold.", registry=registry).inc(3)
    page = HealthPage(registry, "127.0.0.1", 0)
    yield page
    page.stop()


def _health(served: HealthPage) -> tuple[int, dict[str, object]]:
    """Return the status and the body of the health check."""
    answer = _get(served.metrics_url.replace("/metrics", "/healthz"))
    return answer.status_code, answer.json()


def test_series_are_served_in_both_formats(served: HealthPage) -> None:
    """OpenMetrics on request, without a redirect."""
    plain = _get(served.metrics_url)
    assert plain.status_code == 200
    assert "flowers_total 3.0" in plain.text
    accept = {"accept": "application/openmetrics-text"}
    assert _get(served.metrics_url, accept).text.endswith("# EOF\n")


def test_it_is_healthy_while_rounds_are_played(
    served: HealthPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is stuck without rounds, but not after the last one."""
    served.round_done()
    assert _health(served) == (200, {"status": "ok", "rounds": 1})
    monkeypatch.setattr(health_page, "_STUCK_SECONDS", -1.0)
    assert _health(served) == (503, {"status": "stuck", "rounds": 1})
    served.round_done(last=True)
    assert _health(served) == (200, {"status": "ok", "rounds": 2})


def test_a_port_answers_or_is_free_but_not_both() -> None:
    """While a server listens, and after."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
        assert stack.answers("127.0.0.1", port)
        assert not stack.is_free("127.0.0.1", port)
    assert not stack.answers("127.0.0.1", port)
    assert stack.is_free("127.0.0.1", port)


def test_spans_are_sent_only_where_a_collector_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without a Collector there is no exporter, so no export fails."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
        monkeypatch.setattr(stack, "OTLP_PORTS", {"grpc": port})
        assert stack.exporting(Settings(), {}).traces_exporter == "otlp"
    assert stack.exporting(Settings(), {}).traces_exporter == "none"


def test_an_endpoint_in_the_environment_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It may start later; another exporter is kept, too."""
    monkeypatch.setattr(stack, "OTLP_PORTS", {})
    named = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel-collector:4317"}
    assert stack.exporting(Settings(), named).traces_exporter == "otlp"
    chosen = Settings(traces_exporter="console")
    assert stack.exporting(chosen, {}) is chosen
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c:4317")
    assert stack.exporting(Settings()).traces_exporter == "otlp"
