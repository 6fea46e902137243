"""The run whose code is being executed, where LangChain does not pass it on.

``invoke`` and its kin find their parent by a context variable of LangChain's;
``generate`` and ``agenerate``, called inside a chain's step or a tool, do not, though
they are just as much part of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_core.runnables.config import var_child_runnable_config

if TYPE_CHECKING:
    from uuid import UUID


def enclosing_run_id() -> UUID | None:
    """Return the id of the run whose code calls, or None outside of any."""
    config = var_child_runnable_config.get()
    if not config:
        return None
    # A list of handlers where nothing runs yet, a manager inside a run.
    found: UUID | None = getattr(config.get("callbacks"), "parent_run_id", None)
    return found
