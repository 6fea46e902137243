from __future__ import annotations

import argparse
import asyncio
import io
import os
import signal
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry
from rich.cells import cell_len
from rich.console import Console

from otel_callbacks import ConfiguredHandler, Settings
from otel_callbacks.cli.demo import scenes as demo_scenes
from otel_callbacks.cli.demo import show as demo_show
from otel_callbacks.cli.demo.scenes import SCENES, Exchange, Scene, Shop
from otel_callbacks.cli.demo.show import Played
from otel_callbacks.cli.picture import sums
from otel_callbacks.cli.picture.sums import Comparison, Sum
from otel_callbacks.testing import FakeOpenAI, Tokens

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from otel_callbacks.cli.demo.session import Session


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the demo's delays, and isolate it from this machine."""
    monkeypatch.setattr(demo_scenes, "_SECONDS", {})
    monkeypatch.setattr(demo_scenes, "_USUAL_SECONDS", (0.01, 0.02))
    monkeypatch.setattr(demo_scenes, "_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(demo_scenes, "_PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr(demo_show, "_PAUSE_SECONDS", (0.01, 0.02))
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    monkeypatch.setenv("OTEL_EXPORTER_PROMETHEUS_PORT", "0")


def _set_up(
    *, service_name: str, settings: Settings, registry: CollectorRegistry
) -> ConfiguredHandler:
    """Set up like configure(), without globals."""
    assert service_name == "flower-shop"
    provider = TracerProvider(shutdown_on_exit=False)
    return ConfiguredHandler(provider, registry, settings)


def _shown(width: int = 100, **options: object) -> tuple[int, str]:
    """Run the demo, and return its exit code and its output."""
    file = io.StringIO()
    defaults = {
        "html": None,
        "rounds": 1,
        "keep_serving": False,
        "seed": 7,
        "real": False,
        "model": "gpt-4o-mini",
        "no_color": True,
    }
    code = demo_show.show(
        argparse.Namespace(**{**defaults, **options}),
        Console(file=file, width=width),
        _set_up,
    )
    return code, file.getvalue()


def test_all_scenes_are_played_and_the_sums_agree(tmp_path: Path) -> None:
    """Later rounds are played, too, and the page is written."""
    code, text = _shown(rounds=3, html=tmp_path / "demo.html")
    assert code == 0
    assert text.count("✓") == len(demo_scenes.SCENES) + 1
    assert "round 3" in text
    assert "rush-hour" in (tmp_path / "demo.html").read_text(encoding="utf-8")


def test_counters_that_differ_set_the_exit_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The results are missing here."""
    monkeypatch.setattr(
        demo_show, "Shop", lambda *fields: Shop(*fields)._replace(till=sums.Sums())
    )
    code, text = _shown()
    assert code == 1
    assert "NOT equal" in text


def test_a_different_sent_usage_sets_the_exit_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Counters and results are compared with the sent usage, too."""
    monkeypatch.setattr(FakeOpenAI, "usage", {"gpt-4o-mini": Tokens(1, 1)})
    code, text = _shown()
    assert code == 1
    assert "NOT equal" in text


def test_a_failed_scene_is_printed_and_the_demo_continues(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In each round, and the exit code is 1."""

    async def play(_: Shop) -> list[Exchange]:
        message = "no vases left"
        raise RuntimeError(message)

    scenes = (Scene("broken", "a broken vase", play, real=True),)
    monkeypatch.setattr(demo_show, "SCENES", scenes)
    monkeypatch.setattr(demo_show, "_WEIGHTS", (1,))
    code, text = _shown(rounds=2)
    assert code == 1
    assert "✗ a broken vase" in text
    assert "broken: RuntimeError: no vases left" in text


def test_the_real_provider_gets_only_the_real_scenes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the given model, and without the sent usage."""
    with FakeOpenAI() as provider:
        monkeypatch.setenv("OPENAI_API_KEY", "of-the-user")
        monkeypatch.setenv("OPENAI_BASE_URL", provider.base_url)
        code, text = _shown(real=True, model="qwen-plus", rounds=2)
        models = {received.model for received in provider.requests}
    assert code == 0
    assert models == {"qwen-plus"}
    assert "the real provider" in text
    assert "429" not in text
    assert "sent by the provider" not in text


def _when(condition: Callable[[], bool]) -> threading.Thread:
    """Send this process Ctrl-C as soon as a condition holds."""
    ready = threading.Event()

    def wait() -> None:
        while not condition():
            ready.wait(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_ctrl_c_ends_serving(monkeypatch: pytest.MonkeyPatch) -> None:
    """/metrics is served after the last round until Ctrl-C."""
    waiting = threading.Event()
    addresses = demo_show.print_addresses

    def print_and_set(*arguments: object) -> None:
        addresses(*arguments)  # type: ignore[arg-type]
        waiting.set()

    monkeypatch.setattr(demo_show, "print_addresses", print_and_set)
    thread = _when(waiting.is_set)
    code, text = _shown(keep_serving=True, rounds=2)
    thread.join()
    assert code == 0
    assert "see also /healthz" in text
    assert text.endswith("Stop with Ctrl-C.\n")


def test_ctrl_c_ends_the_first_round_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """The current scene ends, and later ones do not start."""
    started = threading.Event()
    arrived = asyncio.Event()
    # The loops of Unix have no other name of this method.
    loops: Any = asyncio.SelectorEventLoop
    listen = loops.add_signal_handler

    def listening(loop: Any, number: int, react: Callable[[], object]) -> None:
        def heard() -> None:
            react()
            arrived.set()

        listen(loop, number, heard)

    async def play(_: Shop) -> list[Exchange]:
        started.set()
        # The signal arrives during this scene on a machine of any speed.
        await arrived.wait()
        return []

    monkeypatch.setattr(loops, "add_signal_handler", listening)

    scene = Scene("slow", "a slow one", play, real=True)
    monkeypatch.setattr(demo_show, "SCENES", (scene, scene))
    thread = _when(started.is_set)
    code, text = _shown(rounds=0, keep_serving=True)
    thread.join()
    assert code == 0
    assert text.count("a slow one") == 1
    assert "round 2" not in text


def test_it_can_be_shown_from_another_thread() -> None:
    """Signal handlers are unsupported there."""
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(_shown()[0]))
    thread.start()
    thread.join()
    assert codes == [0]


def test_a_lost_call_does_not_delay_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait for open runs has a limit; the sums show missing calls."""
    monkeypatch.setattr(demo_show, "_SETTLE_SECONDS", 0.1)
    monkeypatch.setattr(CollectorRegistry, "get_sample_value", lambda *_: 1.0)
    assert _shown()[0] in {0, 1}


_OPTIONS = argparse.Namespace(html=None, keep_serving=False)


def _console(width: int = 80) -> Console:
    """Return a console that writes to memory."""
    return Console(file=io.StringIO(), width=width, color_system=None)


def _text(out: Console) -> str:
    """Return the output."""
    return cast("io.StringIO", out.file).getvalue()


def _session(**fields: Any) -> Session:
    """Return the printed fields of a session."""
    values = {
        "fake": None,
        "metrics_url": "http://127.0.0.1:9464/metrics",
        "exports": False,
        "moved": False,
    }
    return cast("Session", SimpleNamespace(**{**values, **fields}))


def test_long_questions_are_cut_to_the_width() -> None:
    """Each takes one line, in any script."""
    out = _console(40)
    exchanges = [Exchange("玫瑰" * 20, "Roses"), Exchange("Roses?", "玫瑰" * 20)]
    demo_show.print_scene(out, Played(SCENES[0], exchanges, 0.5, ""))
    lines = _text(out).splitlines()
    assert len(lines) == 3
    assert max(map(cell_len, lines)) <= 40


def test_addresses_link_to_the_trace() -> None:
    """With a Collector, the link is to the first trace."""
    out = _console()
    demo_show.print_addresses(out, _session(exports=True), "abc", _OPTIONS)
    assert "http://localhost:16686/trace/abc" in _text(out)
    assert "--keep-serving" in _text(out)


def test_addresses_without_a_collector_name_the_command_for_one() -> None:
    """A port other than the default is explained."""
    out = _console()
    demo_show.print_addresses(out, _session(moved=True), "abc", _OPTIONS)
    assert "docker compose up" in _text(out)
    assert "default one is in use" in _text(out)


def test_no_metrics_address_without_metrics() -> None:
    """OTEL_METRICS_EXPORTER=none applies."""
    out = _console()
    demo_show.print_addresses(out, _session(metrics_url=""), "abc", _OPTIONS)
    assert "Prometheus" not in _text(out)


def test_a_difference_is_shown_in_full() -> None:
    """Both sums are printed."""
    out = _console(120)
    one = Comparison("m", "ok", Sum(1, 2, 3), Sum(1, 2, 4))
    demo_show.print_verdict(out, [one], {"m": (2, 3)}, right=False)
    assert "counters 5 = results 6 = sent by the provider 5  ✗ NOT equal" in _text(out)
    assert "m ok: (1, 2, 3) is not (1, 2, 4)" in _text(out)


def test_a_real_provider_is_announced_with_its_cost() -> None:
    """The title warns that calls cost money."""
    out = _console()
    demo_show.print_title(out, _session(), real=True)
    assert "This costs" in _text(out)
