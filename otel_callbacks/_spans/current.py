"""The stand-in: a span that is current in the app while a run is open.

LangChain reports the end of an async run in another task, with a copied context: what
was attached at the start cannot be detached there. So a stand-in is attached and never
detached. While its run is open it delegates to the run's span, afterwards to the
nearest outer span that is still open.

Why not ``detach``: https://github.com/open-telemetry/opentelemetry-python/issues/2606
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import sys
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context.contextvars_context import ContextVarsRuntimeContext
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.resources import Resource

from otel_callbacks._runs.run import Run, run_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import FrameType

    from opentelemetry.context import Context

    from otel_callbacks._records import Request


class Delegate(trace.Span):
    """A span that delegates to another one, resolved at each access."""

    __slots__ = ()

    @abstractmethod
    def resolve(self) -> trace.Span:
        """Return the span to delegate to."""

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # read by isinstance, in span processors
        return self.resolve().__class__

    def get_span_context(self) -> trace.SpanContext:
        """Return the other span's context."""
        return self.resolve().get_span_context()

    def is_recording(self) -> bool:
        """Return whether the other span is recording."""
        return self.resolve().is_recording()

    def set_attribute(self, key: str, value: Any) -> None:
        """Set an attribute on the other span."""
        self.resolve().set_attribute(key, value)

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Set attributes on the other span."""
        self.resolve().set_attributes(attributes)

    def add_event(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Add an event to the other span."""
        self.resolve().add_event(name, *args, **kwargs)

    def add_link(self, *args: Any, **kwargs: Any) -> None:
        """Add a link to the other span."""
        self.resolve().add_link(*args, **kwargs)

    def update_name(self, name: str) -> None:
        """Rename the other span."""
        self.resolve().update_name(name)

    def set_status(self, *args: Any, **kwargs: Any) -> None:
        """Set the other span's status."""
        self.resolve().set_status(*args, **kwargs)

    def record_exception(self, *args: Any, **kwargs: Any) -> None:
        """Record an exception on the other span."""
        self.resolve().record_exception(*args, **kwargs)

    def end(self, end_time: int | None = None) -> None:
        """Do nothing: the span's owner ends it."""


class Forwarded:
    """An attribute that only the SDK's spans have: name, attributes, parent.

    Instead of ``__getattr__``, with which Python looks up every attribute of an object
    more slowly.
    """

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, span: Any, kind: type | None = None) -> Any:
        # Read on the class, for example by a debugger.
        return self if span is None else getattr(span.resolve(), self._name)


def _names() -> set[str]:
    """Return the names of the attributes of the SDK's spans."""
    names = set(dir(sdk.Span))
    with contextlib.suppress(Exception):  # untested versions
        names.update(
            vars(
                sdk._Span(  # noqa: SLF001 -- the class of its spans
                    "", trace.INVALID_SPAN_CONTEXT, resource=Resource.get_empty()
                )
            )
        )
    return {name for name in names if not name.startswith("__")}


_NAMES: Final = _names()


def forward(kind: type) -> None:
    """Let a class of spans forward the SDK's attributes that it does not define."""
    for name in _NAMES - vars(kind).keys() - vars(trace.Span).keys():
        setattr(kind, name, Forwarded(name))


forward(Delegate)


def _other(self: Delegate, name: str) -> Any:
    """Return an attribute that only the other span has."""
    if name.startswith("__"):
        raise AttributeError(name)
    return getattr(self.resolve(), name)


def resolved(span: Any) -> trace.Span:
    """Return the span that a stand-in delegates to; return another span unchanged."""
    return span.resolve() if type(span) in STAND_INS else span  # type: ignore[no-any-return]


# The innermost run, beside the current span, which a span of the app may hide. A span
# that the app opens inside a run inherits it, unlike a span that only surrounds the
# app's code.
RUN_KEY: Final = otel_context.create_key("otel_callbacks-run")

_NOTHING: Final = otel_context.Context()
_NO_SPAN: Final[trace.Span] = trace.INVALID_SPAN
# A context rejects changes; a new one may be filled before it is used.
_set: Final = dict.__setitem__
# The key of the current span, read from the API's function.
_SPAN_KEY: Final = next(iter(trace.set_span_in_context(trace.INVALID_SPAN, _NOTHING)))

# Adds to the context of a run; see _instrument/other_instrumentations.py.
decorate: Callable[[StandIn | Shared, Context], Context] | None = None


class StandIn(Run, Delegate):
    """A run and the stand-in for its span, in one object."""

    __slots__ = (
        "attached",
        "before",
        "is_summed",
        "outer",
        "outside",
        "outside_run",
        "shared",
        "span",
    )

    def __init__(self, key: int, request: Request, parent: Run | None) -> None:
        Run.__init__(self, key, request, parent)
        self.span: trace.Span | None = None
        # Whether it is in the sums of the runs above it.
        self.is_summed = False
        # The nearest outer span that belongs to no run, and the run it was opened in.
        self.outer = self.outside = _NO_SPAN
        self.outside_run: object = None
        self.attached: Context | None = None
        self.before: Context = _NOTHING
        self.shared: Shared | None = None

    def resolve(self) -> trace.Span:
        """Return the run's own span while it is open, else the nearest open one."""
        if self.open and self.span is not None:
            return self.span
        step_aside(self)
        return resolved(self.outer)

    def release(self) -> None:
        """Drop the data of an ended run, as its stand-in may live on."""
        self.span = self.attached = self.shared = None
        self.before = _NOTHING


class OpenStandIn(StandIn):
    """A stand-in for a span that is not the SDK's, which may have any attribute."""

    __slots__ = ()

    __getattr__ = _other


def open_up(run: StandIn) -> None:
    """Let a stand-in forward all attributes of a span that is not the SDK's."""
    # Not by an assignment, as its `__class__` is that of its span.
    object.__dict__["__class__"].__set__(run, OpenStandIn)


class Shared(Delegate):
    """One stand-in for runs that start together and are called in sequence."""

    __slots__ = (
        "_find",
        "_left",
        "_parent",
        "_size",
        "attached",
        "before",
        "open",
        "outer",
        "outside",
        "outside_run",
        "runs",
    )

    __getattr__ = _other

    def __init__(
        self,
        find: Callable[[Mapping[int, StandIn]], StandIn | None],
        first: StandIn,
    ) -> None:
        self._find = find
        self._parent = first.parent_run
        self._size = self._left = first.request.batch_size
        self.open = True
        self.runs: dict[int, StandIn] = {}
        self.outer: trace.Span = trace.INVALID_SPAN
        # The nearest outer span that belongs to no run, and the run it was opened in.
        self.outside: trace.Span = trace.INVALID_SPAN
        self.outside_run: object = None
        self.attached: Context | None = None
        self.before: Context = _NOTHING

    def takes(self, run: StandIn) -> bool:
        """Return whether a starting run belongs to this batch.

        Another handler may run a batch of its own while this one starts.
        """
        return (
            self.open
            and self._left > 0
            and run.request.batch_size == self._size
            and run.parent_run is self._parent
        )

    def add(self, run: StandIn) -> None:
        """Add a run."""
        self._left -= 1
        self.runs[run.key] = run
        run.shared = self
        run.outer = self.outer
        run.outside, run.outside_run = self.outside, self.outside_run

    def remove(self, run: StandIn) -> bool:
        """Remove an ended run."""
        self.runs.pop(run.key, None)
        self.open = bool(self.runs)
        return not self.open

    def resolve(self) -> trace.Span:
        """Return the span of the run that is being called, else the outer span."""
        run = self._find(self.runs) if self.runs else None
        if run is not None:
            return run.resolve()
        step_aside(self)
        return resolved(self.outer)

    def release(self) -> None:
        """Drop the data that is not needed after all runs have ended."""
        self.attached = None
        self.before = _NOTHING


RUNS: Final[frozenset[type]] = frozenset({StandIn, OpenStandIn})
STAND_INS: Final = RUNS | {Shared}
"""Found by `type`: `isinstance` reads the class of a stand-in's span first."""


def span_in(context: Context) -> Any:
    """Return the current span of a context, as `trace.get_current_span` does."""
    span = context.get(_SPAN_KEY)
    if span is None:
        return trace.INVALID_SPAN
    return span if type(span) in STAND_INS else trace.get_current_span(context)


def step_aside(span: StandIn | Shared) -> None:
    """Move a stand-in's outer span outward to the nearest one that is open."""
    outer: Any = span.outer
    while type(outer) in STAND_INS and not outer.open:
        outer = outer.outer
    span.outer = outer


def parent_of(run: StandIn, context: Context, current: Any) -> trace.Span:
    """Return the parent of a run's span."""
    parent = run.parent_run
    is_run = type(current) in STAND_INS
    if parent is None and not run.parent_known:
        # The parent run is unknown here: use the innermost known one.
        if is_run and not current.open:
            step_aside(current)
            return current.outer  # type: ignore[no-any-return]
        return current  # type: ignore[no-any-return]
    # Skip the stand-ins of runs that are current here but do not call this run: ended
    # runs, and streams that are still read.
    if is_run:
        outside, innermost = current.outside, current.outside_run
    else:
        outside, innermost = current, context.get(RUN_KEY)
    if parent is None or (innermost is not None and _is_inside(innermost, parent)):
        # A span of the app, opened inside the parent's run.
        return outside  # type: ignore[no-any-return]
    return parent  # type: ignore[return-value]  # the table makes stand-ins


def _is_inside(run: Any, parent: Run) -> bool:
    """Return whether a run is the parent, or a call in it that has stayed current."""
    while run is not parent:
        if type(run) not in STAND_INS:
            return False
        run = run.outer if type(run.outer) in STAND_INS else run.outside_run
    return True


_known_runtime: object = None
_holds: bool = True
# Of OpenTelemetry's own runtime, the methods of its context variable: the functions
# that lead there take as long as the rest of making a span current.
current_context: Callable[[], Context] = otel_context.get_current
_attach: Callable[[Context], object] = otel_context.attach


def holds_what_is_attached() -> bool:
    """Return whether the runtime context returns attached contexts unchanged.

    A vendor's runtime context may translate a context and never detach it. Then all
    requests of a thread would join the first one's trace.
    """
    # One probe for each runtime.
    global _known_runtime, _holds, current_context, _attach  # noqa: PLW0603
    runtime = getattr(otel_context, "_RUNTIME_CONTEXT", None)
    if runtime is not _known_runtime:
        plain = type(runtime) is ContextVarsRuntimeContext
        _holds = plain or contextvars.Context().run(_probe, runtime)
        current_context, _attach = otel_context.get_current, otel_context.attach
        variable = getattr(runtime, "_current_context", None)
        if plain and type(variable) is contextvars.ContextVar:
            current_context, _attach = variable.get, variable.set
        _known_runtime = runtime
    return _holds


def _probe(runtime: Any) -> bool:
    """Return whether the runtime keeps and restores an attached context."""
    try:
        before = runtime.get_current()
        # Without a span, so that the app is not affected.
        probe = otel_context.Context({RUN_KEY: None})
        token = runtime.attach(probe)
        held = runtime.get_current() is probe
        runtime.detach(token)
        left = runtime.get_current()
    except Exception:  # noqa: BLE001 -- not the default runtime
        return False
    return held and (left is before or left == _NOTHING)


def attach(span: StandIn | Shared, context: Context, outer: Any) -> None:
    """Make a stand-in the current span."""
    if type(outer) in STAND_INS:
        span.outside, span.outside_run = outer.outside, outer.outside_run
        if not outer.open:
            step_aside(outer)
            outer = outer.outer
            is_run = type(outer) in STAND_INS
            context = _with(outer, outer if is_run else span.outside_run, context)
    else:
        span.outside, span.outside_run = outer, context.get(RUN_KEY)
    span.outer = outer
    if not _holds:
        return
    span.before = context
    span.attached = _with(span, span, context)
    if decorate is not None:
        span.attached = decorate(span, span.attached)
    _attach(span.attached)


def put_back(span: StandIn | Shared) -> None:
    """Restore the previous context, if the stand-in is still current."""
    context = current_context()
    if context is span.attached:
        _attach(span.before)
    elif trace.get_current_span(context) is span:
        # Keep what the app has added to the context since.
        run = span.before.get(RUN_KEY)
        _attach(_with(span.outer, run, context))


def _with(span: trace.Span, run: object, context: Context) -> Context:
    """Return a context with this span current and this run beside it."""
    # One copy; the API's two functions make four.
    changed = otel_context.Context(context)
    _set(changed, _SPAN_KEY, span)
    _set(changed, RUN_KEY, run)
    return changed


# The functions of langchain_core.language_models that make the call of one run, or
# of several at once, and the local variable that holds its run manager.
_STEPS: Final = {
    "_generate_with_cache": "run_manager",
    "_agenerate_with_cache": "run_manager",
    "_generate_helper": "run_managers",
    "_agenerate_helper": "run_managers",
}
_MODULE: Final = "langchain_core.language_models."
# An HTTP client's instrumentation is about forty frames below LangChain.
_FRAMES_AT_MOST: Final = 200

_START_IN_GATHER: Final = "AsyncCallbackManager.on_llm_start"


def run_being_called(runs: Mapping[int, StandIn]) -> StandIn | None:
    """Return the run of a batch whose call is on the stack, if one is."""
    try:
        frame: FrameType | None = sys._getframe()  # noqa: SLF001 -- no public way up
        for _ in range(_FRAMES_AT_MOST):
            if frame is None:
                return None
            local = _STEPS.get(frame.f_code.co_name)
            if local is not None and _is_langchain(frame):
                managers = frame.f_locals.get(local)
                manager: Any = managers[0] if isinstance(managers, list) else managers
                return runs.get(run_key(manager.run_id))
            frame = frame.f_back
    except Exception:  # noqa: BLE001 -- private API may change
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
                    # The last one, as Python 3.14 adds its own before it.
                    context: contextvars.Context = _callbacks(outer)[-1][1]
                    return context
    except Exception:  # noqa: BLE001 -- private API may change
        return None
    return None


def _callbacks(future: asyncio.Future[Any]) -> list[tuple[Any, contextvars.Context]]:
    """Return the callbacks of a future, each with its context."""
    return future._callbacks or []  # noqa: SLF001


def _is_langchain(frame: FrameType) -> bool:
    """Return whether a frame belongs to LangChain's models."""
    return str(frame.f_globals.get("__name__", "")).startswith(_MODULE)
