"""The show: plays the scenes, round by round, and prints what came of them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import signal
import sys
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from otel_callbacks import SettingError, configure
from otel_callbacks.cli.demo import print as demo_print
from otel_callbacks.cli.demo import scenes as demo_scenes
from otel_callbacks.cli.demo.scenes import SCENES, Said, Scene, Shop
from otel_callbacks.cli.demo.session import SERVICE, Session, session
from otel_callbacks.cli.picture import page, sums
from otel_callbacks.cli.picture.timeline import timelines

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable

    from otel_callbacks import ConfiguredHandler

_SETTLE_SECONDS: Final = 3.0
_SETTLE_STEP: Final = 0.05
_PAUSE_SECONDS: Final = (0.5, 2.5)
_SCENES_OF_A_ROUND: Final = (2, 5)
# How often a scene is played in steady traffic; errors are rarer than answers.
_WEIGHTS: Final = (6, 4, 3, 1, 1, 2, 1, 3, 3)
_OPEN_RUNS: Final = "otel_callbacks_open_runs"
_CANNOT: Final = 2


class Played(NamedTuple):
    """How a scene went."""

    scene: Scene
    said: list[Said]
    seconds: float
    trouble: str


def show(
    options: argparse.Namespace,
    console: Console | None = None,
    set_up: Callable[..., ConfiguredHandler] = configure,
) -> int:
    """Play the demo and print it."""
    out = console or Console(no_color=options.no_color or None, highlight=False)
    try:
        with session(
            real=options.real,
            keep_serving=options.keep_serving,
            seed=options.seed,
            set_up=set_up,
        ) as running:
            return asyncio.run(_Show(options, out, running).play())
    except SettingError as error:
        sys.stderr.write(f"otel-callbacks demo: {error}\n")
        return _CANNOT


class _Show:
    """Plays the rounds in one event loop."""

    def __init__(
        self, options: argparse.Namespace, out: Console, running: Session
    ) -> None:
        self._options = options
        self._out = out
        self._session = running
        self._till = sums.Till()
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
        """Play the first round, the further ones, and say whether all was right."""
        self._listen_to_signals()
        demo_print.title(self._out, self._session, real=self._options.real)
        troubles = await self._first_round()
        rounds = self._options.rounds
        more = itertools.count(2) if rounds == 0 else range(2, rounds + 1)
        troubles += await self._further_rounds(more)
        await self._settle()
        right = self._check()
        demo_print.addresses(self._out, self._session, self._first_trace, self._options)
        if self._options.keep_serving and not self._stop.is_set():
            self._out.print("Ctrl-C ends it.", style="dim")
            await self._stop.wait()
        return 0 if right and not troubles else 1

    async def _first_round(self) -> int:
        """Play all scenes one after another, and draw their traces."""
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
                demo_print.scene(self._out, played[-1])
                progress.advance(task)
        await self._settle()
        lines = timelines(self._session.spans())
        self._first_trace = lines[0].trace_id if lines else ""
        demo_print.traces(self._out, lines)
        if self._options.html:
            comparisons = self._comparisons()
            text = page.page(lines, comparisons)
            self._options.html.write_text(text, encoding="utf-8")
        return sum(bool(one.trouble) for one in played)

    async def _further_rounds(self, numbers: Iterable[int]) -> int:
        """Make steady, varied traffic until the rounds are over or a signal comes."""
        troubles = 0
        for number in numbers:
            if await self._stopped_within(self._chance.uniform(*_PAUSE_SECONDS)):
                break
            weights = _WEIGHTS if len(self._scenes) == len(SCENES) else None
            scenes = self._chance.choices(
                self._scenes, weights, k=self._chance.randint(*_SCENES_OF_A_ROUND)
            )
            played = await asyncio.gather(*map(self._play, scenes))
            if self._session.health is not None:
                self._session.health.round_done()
            demo_print.round_line(self._out, number, played, self._session.spans())
            troubles += sum(bool(one.trouble) for one in played)
        if self._session.health is not None:
            self._session.health.round_done(last=True)
        return troubles

    async def _play(self, scene: Scene) -> Played:
        """Play one scene under a span of the app's own."""
        start = time.monotonic()
        said: list[Said] = []
        trouble = ""
        with self._tracer.start_as_current_span(scene.name):
            try:
                said = await scene.play(self._shop)
            except Exception as error:  # noqa: BLE001 -- the show goes on
                trouble = f"{type(error).__name__}: {error}"
        return Played(scene, said, time.monotonic() - start, trouble)

    async def _settle(self) -> None:
        """Wait until the handler has noticed that given up calls are over."""
        limit = time.monotonic() + _SETTLE_SECONDS
        # The series is the only sign there is.
        while self._open_runs() and time.monotonic() < limit:  # noqa: ASYNC110
            await asyncio.sleep(_SETTLE_STEP)

    def _open_runs(self) -> float:
        """Return how many runs the handler holds."""
        return self._session.registry.get_sample_value(_OPEN_RUNS) or 0.0

    def _comparisons(self) -> list[sums.Comparison]:
        """Put counters and results side by side."""
        registry = self._session.registry
        counters, costs = sums.counted(registry), sums.costs(registry)
        return sums.compared(counters, self._till.sums, costs)

    def _check(self) -> bool:
        """Print the sums and say whether they agree."""
        comparisons = self._comparisons()
        demo_print.tokens(self._out, comparisons)
        right = all(one.equal for one in comparisons)
        fake = self._session.fake
        counted = sums.spent(sums.counted(self._session.registry))
        sent = None if fake is None else sums.sent(fake.usage)
        if sent is not None:
            right = right and counted == sent
        demo_print.verdict(self._out, comparisons, sent, right=right)
        return right

    async def _stopped_within(self, seconds: float) -> bool:
        """Wait, and say whether the end was asked for."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)
        return self._stop.is_set()

    def _listen_to_signals(self) -> None:
        """Let Ctrl-C and SIGTERM end the show after the round that is being played."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            # Not on Windows, and not in a thread.
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
                loop.add_signal_handler(number, self._stop.set)
