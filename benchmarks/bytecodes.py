"""Count the bytecodes of the callbacks of one model call.

Python makes real calls under `sys.settrace`, which reports each bytecode; those of the
handler and of what it calls count. This is less precise than CPU time, since one
bytecode may call into C, but the number is the same on a busy machine (in streams, to
one percent), so it shows the effect of a change.

    python benchmarks/bytecodes.py
    python benchmarks/bytecodes.py --shapes openai --modes sync --parts
"""

from __future__ import annotations

import argparse
import functools
import gc
import itertools
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

from overhead import CALLS, MODES, PLACES, contenders, given
from shapes import SHAPES

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType

WARM_UP = 20


def counted(work: Callable[[], object], handler: object = None) -> Counter[CodeType]:
    """Return the executed bytecodes by function; only those of a handler, if named."""
    found: Counter[CodeType] = Counter()

    def trace(frame: Any, event: str, _: object) -> Any:
        if event == "opcode":
            found[frame.f_code] += 1
        elif event == "call" and not (
            handler is None
            or frame.f_locals.get("self") is handler
            or frame.f_back.f_trace is not None
        ):
            return None
        frame.f_trace_opcodes = True
        return trace

    before = sys.gettrace()
    gc.disable()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
        gc.enable()
    return found


def measure(mode: str, shape: str) -> tuple[float, float, Counter[CodeType]]:
    """Return a call's bytecodes: of the bare span, of the handler, and by function."""
    place = PLACES[mode.startswith("agent")]
    sums = []
    found: Counter[CodeType] = Counter()
    for who in ("least", "otel_callbacks"):
        handlers, scrape = contenders()[who]
        run = functools.partial(MODES[mode], *given(mode, place, shape, handlers))
        for _ in range(WARM_UP):
            run()
        scrape()
        found = counted(run, handlers[0])
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
    print(f"{'':<28}{'bare span':>12}{'ours':>12}{'ratio':>8}")
    for mode, shape in itertools.product(options.modes, options.shapes):
        least, ours, functions = measure(mode, shape)
        name = f"{mode}, {shape}"
        print(f"{name:<28}{least:>12.0f}{ours:>12.0f}{ours / least:>8.2f}")
        if options.parts:
            for part, count in parts(functions).most_common():
                print(f"{count / CALLS:>12.0f}  {part}")
        for code, count in functions.most_common(options.functions):
            file = code.co_filename.rpartition("site-packages/")[2]
            print(f"{count / CALLS:>12.0f}  {code.co_qualname}  {file[-40:]}")


if __name__ == "__main__":
    main()
