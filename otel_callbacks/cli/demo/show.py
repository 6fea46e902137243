"""Play the demo's scenes, round by round, and print the results."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import signal
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from rich.cells import set_cell_size
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from otel_callbacks import ConfiguredHandler, configure
from otel_callbacks import _semconv as semconv
from otel_callbacks.cli.demo import scenes as demo_scenes
from otel_callbacks.cli.demo.scenes import SCENES, Exchange, Scene, Shop
from otel_callbacks.cli.demo.session import SERVICE, Session, session
from otel_callbacks.cli.picture import page, sums, waterfall
from otel_callbacks.cli.picture.timeline import OUTCOMES, Timeline, timelines

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from otel_callbacks.cli.picture.sums import Comparison
    from otel_callbacks.testing import Span

_SETTLE_SECONDS: Final = 3.0
_PAUSE_SECONDS: Final = (0.5, 2.5)
# How often a scene is played in steady traffic; errors are rarer than answers.
_WEIGHTS: Final = (6, 4, 3, 1, 1, 2, 1, 3, 3)


class Played(NamedTuple):
    """The result of a scene."""

    scene: Scene
    exchanges: list[Exchange]
    seconds: float
    trouble: str


def show(
    options: argparse.Namespace,
    console: Console | None = None,
    set_up: Callable[..., ConfiguredHandler] = configure,
) -> int:
    """Play the demo and return the exit code."""
    out = console or Console(no_color=options.no_color or None, highlight=False)
    with session(
        real=options.real,
        keep_serving=options.keep_serving,
        seed=options.seed,
        set_up=set_up,
    ) as running:
        return asyncio.run(_Show(options, out, running).play())


class _Show:
    """Plays the rounds in one event loop."""

    def __init__(
        self, options: argparse.Namespace, out: Console, running: Session
    ) -> None:
        self._options = options
        self._out = out
        self._session = running
        self._till = sums.Sums()
        self._chance = random.Random(options.seed)  # noqa: S311 -- no secrets here
        self._scenes = [one for one in SCENES if one.real or not options.real]
        self._tracer = running.provider.get_tracer(SERVICE)
        self._stop = asyncio.Event()
        self._first_trace = ""
        models = (options.model,) if options.real else demo_scenes.MODELS
        self._shop = Shop(
            running.model, models, [running.handler], self._till, self._chance
        )

    async def play(self) -> int:
        """Play all rounds and return the exit code."""
        self._listen_to_signals()
        print_title(self._out, self._session, real=self._options.real)
        troubles = await self._first_round()
        rounds = self._options.rounds
        more = itertools.count(2) if rounds == 0 else range(2, rounds + 1)
        troubles += await self._further_rounds(more)
        await self._settle()
        right = self._check()
        print_addresses(self._out, self._session, self._first_trace, self._options)
        if self._options.keep_serving and not self._stop.is_set():
            self._out.print("Stop with Ctrl-C.", style="dim")
            await self._stop.wait()
        return 0 if right and not troubles else 1

    async def _first_round(self) -> int:
        """Play each scene once, and draw the traces."""
        played = []
        columns = (SpinnerColumn(), TextColumn("{task.description}"))
        with Progress(
            *columns, TimeElapsedColumn(), console=self._out, transient=True
        ) as progress:
            task = progress.add_task("", total=len(self._scenes))
            for scene in self._scenes:
                if self._stop.is_set():
                    break
                progress.update(task, description=scene.title)
                played.append(await self._play(scene))
                print_scene(self._out, played[-1])
                progress.advance(task)
        await self._settle()
        lines = timelines(self._session.spans())
        self._first_trace = lines[0].trace_id if lines else ""
        print_traces(self._out, lines)
        if self._options.html:
            text = page.page(lines, self._comparisons())
            self._options.html.write_text(text, encoding="utf-8")
        return sum(bool(one.trouble) for one in played)

    async def _further_rounds(self, numbers: Iterable[int]) -> int:
        """Play random scenes until the rounds are over or a signal arrives."""
        troubles = 0
        for number in numbers:
            if await self._stopped_within(self._chance.uniform(*_PAUSE_SECONDS)):
                break
            weights = _WEIGHTS if len(self._scenes) == len(SCENES) else None
            scenes = self._chance.choices(
                self._scenes, weights, k=self._chance.randint(2, 5)
            )
            played = await asyncio.gather(*map(self._play, scenes))
            if self._session.health is not None:
                self._session.health.round_done()
            print_round_line(self._out, number, played, self._session.spans())
            troubles += sum(bool(one.trouble) for one in played)
        if self._session.health is not None:
            self._session.health.round_done(last=True)
        return troubles

    async def _play(self, scene: Scene) -> Played:
        """Play one scene in a span of the app."""
        start = time.monotonic()
        exchanges: list[Exchange] = []
        trouble = ""
        with self._tracer.start_as_current_span(scene.name):
            try:
                exchanges = await scene.play(self._shop)
            except Exception as error:  # noqa: BLE001 -- a failed scene is printed
                trouble = f"{type(error).__name__}: {error}"
        return Played(scene, exchanges, time.monotonic() - start, trouble)

    async def _settle(self) -> None:
        """Wait until the handler has ended the cancelled calls."""
        limit = time.monotonic() + _SETTLE_SECONDS
        # Only the series shows this.
        value = self._session.registry.get_sample_value
        while value("otel_callbacks_open_runs") and time.monotonic() < limit:  # noqa: ASYNC110
            await asyncio.sleep(0.05)

    def _comparisons(self) -> list[sums.Comparison]:
        """Compare the counters with the results."""
        return sums.compared(sums.counted(self._session.registry), self._till)

    def _check(self) -> bool:
        """Print the sums and return whether they agree."""
        comparisons = self._comparisons()
        print_tokens(self._out, comparisons)
        right = all(one.equal for one in comparisons)
        sent = None
        if (fake := self._session.fake) is not None:
            sent = {name: (one.input, one.output) for name, one in fake.usage.items()}
            right = right and sums.spent(sums.counted(self._session.registry)) == sent
        print_verdict(self._out, comparisons, sent, right=right)
        return right

    async def _stopped_within(self, seconds: float) -> bool:
        """Wait, and return whether a signal has arrived."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)
        return self._stop.is_set()

    def _listen_to_signals(self) -> None:
        """Let Ctrl-C and SIGTERM end the demo after the current round."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            # Unsupported on Windows and outside the main thread.
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
                loop.add_signal_handler(number, self._stop.set)


_WIDTH_AT_MOST: Final = 120


def print_title(out: Console, session: Session, *, real: bool) -> None:
    """Print the provider, and a warning if calls cost money."""
    if session.fake is not None:
        where = f"a fake provider on {session.fake.url}: no key, no cost"
    else:
        where = "the real provider"
    out.print(Text.assemble(("A flower shop", "bold"), f" with {where}"))
    if real:
        out.print("This costs a few hundred tokens.", style="yellow")
    out.print()


def print_scene(out: Console, played: Played) -> None:
    """Print the result of one scene."""
    sign, style = ("✗", "bold red") if played.trouble else ("✓", "green")
    name = set_cell_size(played.scene.title, 32)
    line = Text.assemble((sign, style), f" {name}{played.seconds:5.2f} s")
    out.print(line, no_wrap=True, overflow="ellipsis")
    for question, answer in played.exchanges:
        text = Text.assemble(f"  {question} ", ("→", "dim"), f" {answer}")
        out.print(text, no_wrap=True, overflow="ellipsis", crop=True)
    if played.trouble:
        out.print(Text(f"  {played.trouble}", "red"))


def print_traces(out: Console, timelines: Sequence[Timeline]) -> None:
    """Print the traces as waterfalls, with a legend."""
    width = min(out.width, _WIDTH_AT_MOST)
    out.print()
    out.print(Rule("Traces", align="left", style="dim"), width=width)
    plain = out.options.ascii_only
    for line in waterfall.lines(timelines, width, plain=plain):
        out.print(Text.assemble(*line), no_wrap=True)
    out.print()
    for line in waterfall.legend(plain=plain):
        out.print(Text.assemble(*line), width=width)


def print_round_line(
    out: Console, number: int, played: Sequence[Played], spans: Sequence[Span]
) -> None:
    """Print one line for a round of steady traffic."""
    calls = [
        span["attributes"]
        for span in spans
        if span["attributes"].get(semconv.OPERATION_NAME) in semconv.MODEL_OPERATIONS
    ]
    tokens = sum(
        one.get(semconv.USAGE_INPUT_TOKENS, 0) + one.get(semconv.USAGE_OUTPUT_TOKENS, 0)
        for one in calls
    )
    names = ", ".join(one.scene.name for one in played)
    line = f"round {number:<5} {len(calls):>2} calls {tokens:>5} tokens  {names}"
    out.print(line, no_wrap=True, overflow="ellipsis", markup=False)
    for one in played:
        if one.trouble:
            out.print(Text(f"  {one.scene.name}: {one.trouble}", "red"))


def print_tokens(out: Console, comparisons: Sequence[Comparison]) -> None:
    """Print the tokens by model and outcome."""
    out.print()
    width = min(out.width, _WIDTH_AT_MOST)
    out.print(
        Rule("Tokens by model and outcome", align="left", style="dim"), width=width
    )
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("model", no_wrap=True)
    table.add_column("outcome", no_wrap=True)
    for name in ("calls", "input", "output", "cost in $"):
        table.add_column(name, justify="right")
    table.add_column("")
    for one in comparisons:
        style = waterfall.STYLES.get(one.outcome, "")
        table.add_row(
            one.model,
            Text(OUTCOMES.get(one.outcome, one.outcome), style),
            *one.numbers,
            f"{one.counters.cost:.6f}" if one.counters.cost else "",
            Text("saved, not spent" if one.outcome == "cache_hit" else "", "dim"),
        )
    out.print(table)


def print_verdict(
    out: Console,
    comparisons: Sequence[Comparison],
    sent: Mapping[str, tuple[int, int]] | None,
    *,
    right: bool,
) -> None:
    """Print whether the counters match the results."""
    spent = [one for one in comparisons if one.outcome != "cache_hit"]
    counted = sum(one.counters.input + one.counters.output for one in spent)
    results = sum(one.results.input + one.results.output for one in spent)
    parts = [f"counters {counted:,}", f"results {results:,}"]
    if sent is not None:
        parts.append(f"sent by the provider {sum(map(sum, sent.values())):,}")
    sign = Text("✓ equal", "green") if right else Text("✗ NOT equal", "bold red")
    out.print()
    out.print(Text.assemble("Sum check: ", " = ".join(parts), "  ", sign))
    for one in comparisons:
        if not one.equal:
            sides = f"{one.counters[:3]} is not {one.results[:3]}"
            out.print(Text(f"  {one.model} {one.outcome}: {sides}", "red"))


def print_addresses(
    out: Console, session: Session, trace_id: str, options: argparse.Namespace
) -> None:
    """Print the addresses of the series, the trace and the page."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    if session.metrics_url:
        until = "while this runs (--keep-serving)"
        if options.keep_serving:
            until = "until Ctrl-C; see also /healthz"
        table.add_row("Prometheus", f"{session.metrics_url}  {until}")
        if session.moved:
            table.add_row("", "on a free port, because the default one is in use")
    if session.exports:
        where = f"http://localhost:16686/trace/{trace_id}"
    else:
        where = "no Collector found; start the stack with `docker compose up`"
    table.add_row("Jaeger", where)
    if options.html:
        table.add_row("Page", str(options.html))
    out.print()
    out.print(table)
