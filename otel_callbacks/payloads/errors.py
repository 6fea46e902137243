"""Why a run did not end well: its outcome, the error's type and the error's class."""

from __future__ import annotations

import asyncio
from typing import Final

from otel_callbacks import _semconv as semconv
from otel_callbacks._records import ABANDONED, CANCELLED, ERROR, Failure, Response
from otel_callbacks.payloads.error_classes import class_of
from otel_callbacks.payloads.refused import refused
from otel_callbacks.payloads.values import text

_CONTROL_FLOW: Final = frozenset({"GraphBubbleUp", "GraphInterrupt", "ParentCommand"})
"""LangGraph steers with these: https://reference.langchain.com/python/langgraph/errors"""

_INTERRUPTS: Final = frozenset({"GraphInterrupt"})
_INTERRUPTED: Final = Response(
    usage_expected=False, attributes={semconv.INTERRUPTED: True}
)

_CANCELLED: Final = Failure(CANCELLED, CANCELLED, semconv.CANCELLED)
_ABANDONED: Final = Failure(ABANDONED, ABANDONED, semconv.ABANDONED)

_CANCELLATIONS: Final = frozenset({"CancelledError", "Cancelled"})
"""The same in ``concurrent.futures`` and in trio."""


def failure(error: BaseException) -> Failure | None:
    """Say why a run ended with an exception.

    Args:
        error: The exception that LangChain hands to an error callback.

    Returns:
        The failure; ``None`` where LangGraph only steers with the exception.
    """
    if isinstance(error, GeneratorExit):
        return _ABANDONED
    kind = type(error)
    if isinstance(error, asyncio.CancelledError) or kind.__name__ in _CANCELLATIONS:
        return _CANCELLED
    if kind.__module__ != "builtins" and _is_one_of(kind, _CONTROL_FLOW):
        return None
    name = text(kind.__name__) or semconv.ERROR_TYPE_OTHER
    return Failure(ERROR, name, class_of(error), refused(error))


def interruption(error: BaseException) -> Response | None:
    """Say whether a run waits for somebody: what it gave back, then.

    Args:
        error: The exception that LangGraph steers with.
    """
    return _INTERRUPTED if _is_one_of(type(error), _INTERRUPTS) else None


def _is_one_of(kind: type, names: frozenset[str]) -> bool:
    """Tell whether LangGraph steers with this exception."""
    return any(
        base.__name__ in names and base.__module__.startswith("langgraph")
        for base in kind.__mro__
    )
