"""The task and the generators that a call was started in, to detect an early exit.

LangChain reports no end of a chat call whose task was cancelled and continues, as after
``asyncio.timeout``, and a late end of a stream after ``break``. Nothing is kept alive:
a task is held by a weak reference, a frame by its id.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
import weakref
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from types import FrameType

_MODELS: Final = "language_models"
"""Part of the path of the files in which LangChain calls a model."""

_STREAM: Final = inspect.CO_ASYNC_GENERATOR | inspect.CO_GENERATOR


class Whereabouts:
    """The task and the async generators in which a run was started."""

    __slots__ = ("_generators", "_is_plain", "_loop", "_task")

    def __init__(
        self, task: asyncio.Task[Any], generators: frozenset[int], *, is_plain: bool
    ) -> None:
        self._task = weakref.ref(task)
        self._loop = id(task.get_loop())
        self._generators = generators
        self._is_plain = is_plain

    @classmethod
    def here(cls) -> Whereabouts | None:
        """Return those of the current code; None outside a task."""
        task = _current_task()
        if task is None:
            return None
        generators = set()
        is_stepped = False
        is_plain: bool | None = None
        frame: FrameType | None = sys._getframe()  # noqa: SLF001 -- no other way
        while frame is not None:
            code = frame.f_code
            if code.co_flags & inspect.CO_ASYNC_GENERATOR:
                generators.add(id(frame))
            is_stepped |= bool(code.co_flags & _STREAM)
            if is_plain is None and _MODELS in code.co_filename:
                is_plain = not is_stepped
            frame = frame.f_back
        return cls(task, frozenset(generators), is_plain=bool(is_plain))

    def has_left(self) -> bool:
        """Return whether its task was cancelled, or runs again outside the call."""
        task = self._task()
        if task is None:
            return False
        if task.done():
            return task.cancelled()
        return self._is_plain and task is _current_task()

    def is_dropped(self, live: frozenset[int] | None) -> bool:
        """Return whether one of the generators is no longer alive."""
        task = _current_task()
        is_here = task is not None and self._loop == id(task.get_loop())
        return is_here and live is not None and not self._generators <= live


def live_generators() -> frozenset[int] | None:
    """Return the frame ids of the loop's live async generators; None if not known."""
    # A dropped generator is missing at once, and closed in a later turn of the loop.
    task = _current_task()
    if task is None:
        return None
    known = getattr(task.get_loop(), "_asyncgens", None)
    if not isinstance(known, weakref.WeakSet):
        return None
    frames = [getattr(generator, "ag_frame", None) for generator in list(known)]
    return frozenset(id(frame) for frame in frames if frame is not None)


def _current_task() -> asyncio.Task[Any] | None:
    """Return the current task, if any."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
