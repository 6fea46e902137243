"""Where in an app's code a call was made, to tell that the code has left it.

LangChain tells nothing of a chat call whose task was cancelled and goes on, as after
``asyncio.timeout``, and tells late of a stream that a ``break`` has left. Nothing here
is kept alive: a task by a weak reference, a frame by its number.
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
"""In the path of the file in which LangChain makes a model's call."""

_MOST_FRAMES: Final = 200


class Whereabouts:
    """The task, and the async generators, within which a run has started."""

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
        """Return where the current code is; None outside a task."""
        task = _current_task()
        if task is None:
            return None
        generators = set()
        is_plain: bool | None = None
        frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 -- no other way
        left = _MOST_FRAMES
        while frame is not None and left:
            left -= 1
            code = frame.f_code
            if code.co_flags & inspect.CO_ASYNC_GENERATOR:
                generators.add(id(frame))
            if is_plain is None and _MODELS in code.co_filename:
                is_plain = not generators
            frame = frame.f_back
        return cls(task, frozenset(generators), is_plain=bool(is_plain))

    def has_left(self) -> bool:
        """Return whether its task was cancelled, or has awaited the call to its end."""
        task = self._task()
        if task is None:
            return False
        if task.done():
            return task.cancelled()
        return self._is_plain and task is _current_task()

    def is_dropped(self, live: frozenset[int] | None) -> bool:
        """Return whether one of its generators is none of those that may go on."""
        if live is None or not self._generators or self._loop != _loop_id():
            return False
        return not self._generators <= live


def live_generators() -> frozenset[int] | None:
    """Return the numbers of the frames of the loop's async generators.

    None where there is no loop, or one that does not say. One that was dropped leaves
    this set at once, and is closed in a later turn of the loop.
    """
    task = _current_task()
    if task is None:
        return None
    known = getattr(task.get_loop(), "_asyncgens", None)
    if not isinstance(known, weakref.WeakSet):
        return None
    frames = [getattr(generator, "ag_frame", None) for generator in list(known)]
    return frozenset(id(frame) for frame in frames if frame is not None)


def _current_task() -> asyncio.Task[Any] | None:
    """Return the task that runs, if any."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


def _loop_id() -> int:
    """Return the number of the loop that runs; 0 without one."""
    task = _current_task()
    return 0 if task is None else id(task.get_loop())
