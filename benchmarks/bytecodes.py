"""Count the bytecodes of the callbacks of one model call.

Python runs a call's callbacks under `sys.settrace`, which reports each bytecode. This
is less precise than CPU time, since one bytecode may call into C, but the number is
the same on every machine and in every run, so it shows the effect of a change.

    python benchmarks/bytecodes.py
    python benchmarks/bytecodes.py --shapes openai --modes sync --parts
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import gc
import itertools
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from langchain_core.callbacks import BaseCallbackHandler
from overhead import contenders
from shapes import SHAPES, ShapedModel

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType

CALLS = 20
WARM_UP = 200
MODES = ("sync", "stream", "errors")

Event = tuple[str, tuple[Any, ...], dict[str, Any]]
"""A callback's name and its arguments, without the run id."""


class Recorder(BaseCallbackHandler):
    """Record the callbacks of a call."""

    run_inline = True

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __getattribute__(self, name: str) -> Any:
        if name in {
            "on_chat_model_start",
            "on_llm_new_token",
            "on_llm_end",
            "on_llm_error",
        }:

            def keep(*args: Any, run_id: object, **more: Any) -> None:
                del run_id
                self.events.append((name, args, more))

            return keep
        return super().__getattribute__(name)


def recorded(shape: str, mode: str) -> list[Event]:
    """Return the callbacks that LangChain makes for one call."""
    recorder = Recorder()
    model = ShapedModel(shape=shape, fails=mode == "errors", callbacks=[recorder])
    with contextlib.suppress(RuntimeError):
        if mode == "stream":
            for _ in model.stream("Roses?"):
                pass
        else:
            model.invoke("Roses?")
    return recorder.events


def replay(handler: Any, events: list[Event], calls: int) -> None:
    """Repeat the callbacks for a number of calls."""
    for _ in range(calls):
        run_id = uuid4()
        for name, args, more in events:
            getattr(handler, name)(*args, run_id=run_id, **more)


def counted(work: Callable[[], object]) -> Counter[CodeType]:
    """Return the number of executed bytecodes by function."""
    found: Counter[CodeType] = Counter()

    def trace(frame: Any, event: str, _: object) -> Any:
        frame.f_trace_opcodes = True
        if event == "opcode":
            found[frame.f_code] += 1
        return trace

    before = sys.gettrace()
    gc.disable()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
        gc.enable()
    for code in (replay.__code__, *(c for c in found if c.co_filename == __file__)):
        found.pop(code, None)
    return found


def measure(shape: str, mode: str) -> tuple[float, float, Counter[CodeType]]:
    """Return a call's bytecodes: of the bare span, of the handler, and by function."""
    events = recorded(shape, mode)
    sums = []
    found: Counter[CodeType] = Counter()
    for who in ("least", "otel_callbacks"):
        taking_part = contenders()
        (handler,), scrape = taking_part[who]
        replay(handler, events, WARM_UP)
        scrape()
        found = counted(functools.partial(replay, handler, events, CALLS))
        # Includes the scrape, which folds the calls into the series.
        folded = counted(scrape).total() - counted(scrape).total()
        sums.append((found.total() + folded) / CALLS)
    return sums[0], sums[1], found


def parts(functions: Counter[CodeType]) -> Counter[str]:
    """Add up bytecodes by package; everything outside the package is one sum."""
    found: Counter[str] = Counter()
    for code, count in functions.items():
        _, ours, path = code.co_filename.rpartition("/otel_callbacks/")
        found[path.partition("/")[0] if ours else "OpenTelemetry, Python"] += count
    return found


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--functions", type=int, default=0, help="how many to name")
    parser.add_argument("--parts", action="store_true", help="sums of ours by package")
    options = parser.parse_args()
    print(f"{'':<20}{'bare span':>12}{'ours':>12}{'ratio':>8}")
    for mode, shape in itertools.product(options.modes, options.shapes):
        least, ours, functions = measure(shape, mode)
        name = f"{mode}, {shape}"
        print(f"{name:<20}{least:>12.0f}{ours:>12.0f}{ours / least:>8.2f}")
        if options.parts:
            for part, count in parts(functions).most_common():
                print(f"{count / CALLS:>12.0f}  {part}")
        for code, count in functions.most_common(options.functions):
            file = code.co_filename.rpartition("site-packages/")[2]
            print(f"{count / CALLS:>12.0f}  {code.co_qualname}  {file[-40:]}")


if __name__ == "__main__":
    main()
