"""Code that is interrupted, or overtaken by another thread, before one of its lines.

A race that is left to chance is rarely seen. Here a test does something before the
first line of the package that some work reaches, then before the second one, and so on.
"""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chaos.attacks import traced
from waiting import WAIT_S

import otel_callbacks

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

PACKAGE = str(Path(otel_callbacks.__file__).parent)


def on_top(
    line: int,
    action: Callable[[], object],
    work: Callable[[], object],
    within: str = PACKAGE,
) -> bool:
    """Do work, and something else before its n-th line of ours; say if it came to that.

    As a signal handler does, and without waiting for a signal at the right moment.
    """
    seen = 0

    def step(_: FrameType, event: str, __: object) -> Any:
        nonlocal seen
        if event == "line":
            seen += 1
            if seen == line:
                action()
        return step

    def enter(frame: FrameType, *_: object) -> Any:
        return step if frame.f_code.co_filename.startswith(within) else None

    traced(enter, work)
    return seen >= line


def interrupted_at(
    line: int,
    error: BaseException,
    work: Callable[[], object],
    within: str = PACKAGE,
) -> bool:
    """Do work and raise before its n-th line of ours; say if it came to that."""
    reached: list[int] = []

    def stop() -> None:
        reached.append(line)
        raise error

    with contextlib.suppress(type(error)):
        on_top(line, stop, work, within)
    return bool(reached)


def overtaken_at(
    line: int,
    others: Callable[[], object],
    work: Callable[[], object],
    within: str = PACKAGE,
) -> bool:
    """Do work, and let another thread overtake it before its n-th line of ours."""
    failed: list[BaseException] = []

    def target() -> None:
        try:
            others()
        except BaseException as error:  # noqa: BLE001 -- shown by the test
            failed.append(error)

    def overtake() -> None:
        thread = threading.Thread(target=target, daemon=True)
        thread.start()
        thread.join(WAIT_S)
        assert not thread.is_alive(), "it waits for the work"

    reached = on_top(line, overtake, work, within)
    if failed:
        raise failed[0]
    return reached
