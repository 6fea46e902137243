"""Which run of a batch is being called just now, and where an async one waits.

Two places where LangChain's callbacks do not say what we must know, and its privates
do. Each is read under a guard, and where it cannot be read the span falls back to the
one outside: nested less, never wrongly.

- ``generate([a, b])`` starts all runs before it makes the first call. The run that is
  being called is a local variable of LangChain's generate step, up the stack.
- ``BaseLLM.agenerate`` starts its runs in tasks that ``gather`` makes, so what is
  attached there is lost. The context of the task that waits for them is kept in the
  future it waits for.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any, Final

from otel_callbacks._runs.run import run_key

if TYPE_CHECKING:
    import contextvars
    from collections.abc import Mapping
    from types import FrameType

    from otel_callbacks._spans.current import StandIn

# The functions of langchain_core.language_models that make the call of one run, or
# of several at once, and the local variable that holds its run manager.
_STEPS: Final = {
    "_generate_with_cache": "run_manager",
    "_agenerate_with_cache": "run_manager",
    "_generate_helper": "run_managers",
    "_agenerate_helper": "run_managers",
}
_MODULE: Final = "langchain_core.language_models."
# From an HTTP client's instrumentation up to LangChain are some forty frames.
_FRAMES_AT_MOST: Final = 200

_START_IN_GATHER: Final = "AsyncCallbackManager.on_llm_start"


def run_being_called(runs: Mapping[int, StandIn]) -> StandIn | None:
    """Return the run of a batch whose call is on the stack, if one is."""
    try:
        frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 -- no public way up
        for _ in range(_FRAMES_AT_MOST):
            if frame is None:
                return None
            local = _STEPS.get(frame.f_code.co_name)
            if local is not None and _is_langchain(frame):
                managers = frame.f_locals.get(local)
                manager: Any = managers[0] if isinstance(managers, list) else managers
                return runs.get(run_key(manager.run_id))
            frame = frame.f_back
    except Exception:  # noqa: BLE001 -- privates may change: then less is nested
        return None
    return None


def waiting_context() -> contextvars.Context | None:
    """Return the context of the task that waits for this start, if one does.

    None unless the current task is one that ``BaseLLM.agenerate`` makes just to
    start a run: anywhere else the current context is the right one.
    """
    try:
        task = asyncio.current_task()
        if task is None:
            return None
        coroutine: Any = task.get_coro()
        if coroutine.__qualname__ != _START_IN_GATHER:
            return None
        for callback, _ in _callbacks(task):
            for cell in callback.__closure__ or ():
                outer = cell.cell_contents
                if isinstance(outer, asyncio.Future):
                    context: contextvars.Context = _callbacks(outer)[0][1]
                    return context
    except Exception:  # noqa: BLE001 -- privates may change: then less is nested
        return None
    return None


def _callbacks(future: asyncio.Future[Any]) -> list[tuple[Any, contextvars.Context]]:
    """Return who waits for a future, each with its context."""
    return future._callbacks or []  # noqa: SLF001


def _is_langchain(frame: FrameType) -> bool:
    """Say whether a frame belongs to LangChain's models."""
    return str(frame.f_globals.get("__name__", "")).startswith(_MODULE)
