"""Track and limit the usage of model calls in a part of an app.

```python
with track_usage(max_cost_usd=0.50) as usage:
    await asyncio.gather(*(llm.agenerate([m]) for m in messages))
print(usage)
```
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from html import escape
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar
from uuid import uuid4

from otel_callbacks._instrument import switch
from otel_callbacks._spend import accounts
from otel_callbacks._spend.accounts import Account, Call, Totals, use_account
from otel_callbacks._spend.budgets import BudgetExceeded, limits

if TYPE_CHECKING:
    from contextvars import Token
    from decimal import Decimal

__all__ = ["BudgetExceeded", "Call", "Totals", "TrackedUsage", "track_usage"]

_P = ParamSpec("_P")
_T = TypeVar("_T")

_pickled: weakref.WeakValueDictionary[str, TrackedUsage] = weakref.WeakValueDictionary()
"""What was pickled here: unpickled here, each is itself again."""


class TrackedUsage:
    """The usage of the model calls started inside a ``with`` block.

    Made by `track_usage`, and entered once. It can be read at any time and in any
    thread, also while calls are open. A copy is the same object. If it is pickled, the
    object in the other process has the same limits and starts with the sums at that
    time; usage there is not added here.

    Args:
        account: The account of the calls.
    """

    def __init__(self, account: Account) -> None:
        self._account = account
        self._token: Token[tuple[Account, ...]] | None = None
        self._is_used = False
        # The key that identifies it in other processes once it is pickled.
        self._key = ""

    # -- the block ------------------------------------------------------------

    def __enter__(self) -> Self:
        if self._token is not None or self._account.closed:
            message = "this track_usage() was entered before; make another one"
            raise RuntimeError(message)
        self._token = accounts.current.set((*accounts.current.get(), self._account))
        self._use()
        return self

    def __exit__(self, *_: object) -> None:
        if self._account.closed or self._token is None:
            return
        self._account.closed = True
        self._is_used = False
        use_account(-1)
        try:
            accounts.current.reset(self._token)
        except ValueError:
            # Exited in another context than entered, as in request scopes made of
            # generators; closed accounts are skipped there.
            return

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, *_: object) -> None:
        self.__exit__()

    def bind(self, function: Callable[_P, _T]) -> Callable[_P, _T]:
        """Return a function whose calls are on this account in any thread.

        ``asyncio.to_thread`` and LangChain's own threads do not need it. A plain
        ``threading.Thread`` or ``ThreadPoolExecutor.submit`` starts with an empty
        context and would be on no account. A returned coroutine, stream or generator
        is on the account, too.

        Args:
            function: A function, a coroutine function, a generator function of either
                kind, or a static or class method. The result is of the same kind.

        Example:
            >>> executor.submit(usage.bind(llm.invoke), "Roses?")
        """
        if isinstance(function, staticmethod | classmethod):
            return type(function)(self.bind(function.__func__))

        @functools.wraps(function)
        def call(*args: _P.args, **kwargs: _P.kwargs) -> Any:
            with self._joined():
                result: Any = function(*args, **kwargs)
            if inspect.iscoroutine(result):
                return self._awaited(result)
            if inspect.isasyncgen(result):
                return _BoundAsyncStream(result, self)
            if inspect.isgenerator(result):
                return _BoundStream(result, self)
            return result

        return _of_its_kind(function, call)  # type: ignore[no-any-return]

    def __call__(self, function: Callable[_P, _T]) -> Callable[_P, _T]:
        """Decorate a function: all its calls are on this account, within its limits.

        Args:
            function: A function as for `bind`.

        Example:
            >>> @track_usage(max_cost_usd=5)
            ... def answer(question): ...
        """
        bound = self.bind(function)
        if self._token is None and not self._is_used:
            self._use_until_collected()
        return bound

    def _use_until_collected(self) -> None:
        """Keep the account in use until this object is garbage-collected."""
        self._use()
        weakref.finalize(self, use_account, -1).atexit = False

    def _use(self) -> None:
        """Register the hook for LangChain's calls, and enable input estimates."""
        switch.keep_accounts()
        use_account(1)
        self._is_used = True

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        # A graph copies its state and all objects in it; usage stays on one account.
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        # For process pools: locks and open calls stay in this process.
        self._key = self._key or uuid4().hex
        _pickled[self._key] = self
        account = self._account
        return _unpickled, (self._key, account.limits, account.closed, account.spent())

    @contextlib.contextmanager
    def _joined(self) -> Generator[None]:
        """Add the account to the current context."""
        here = accounts.current.get()
        joined = here if self._account in here else (*here, self._account)
        token = accounts.current.set(joined)
        try:
            yield
        finally:
            accounts.current.reset(token)

    async def _awaited(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Await a coroutine on the account."""
        with self._joined():
            return await coroutine

    # -- usage ----------------------------------------------------------------

    @property
    def calls(self) -> tuple[Call, ...]:
        """The first 10,000 ended calls, in the order of their ends."""
        return self._account.read()[3]

    @property
    def call_count(self) -> int:
        """The number of ended calls, including cache hits."""
        return self.totals.calls

    @property
    def refused(self) -> int:
        """The number of calls refused by the limits of this block."""
        return self._account.refused

    @property
    def totals(self) -> Totals:
        """All sums."""
        return self._account.read()[0]

    @property
    def by_model(self) -> dict[str, Totals]:
        """The sums by requested model."""
        return self._account.read()[1]

    @property
    def by_outcome(self) -> dict[str, Totals]:
        """The sums by outcome: ok, error, cancelled, abandoned, cache_hit."""
        return self._account.read()[2]

    @property
    def input_tokens(self) -> int:
        """Input tokens, including those cached by the provider."""
        return self.totals.input_tokens

    @property
    def output_tokens(self) -> int:
        """Output tokens, including reasoning."""
        return self.totals.output_tokens

    @property
    def total_tokens(self) -> int:
        """Input and output tokens, without those saved by LangChain's cache."""
        return self.totals.total_tokens

    @property
    def cost_usd(self) -> float:
        """US dollars, without the cost of `unpriced_tokens`."""
        return self.totals.cost_usd

    @property
    def cost(self) -> Decimal:
        """US dollars, exactly."""
        return self.totals.cost

    @property
    def unpriced_tokens(self) -> int:
        """Tokens of models whose price is not known."""
        return self.totals.unpriced_tokens

    @property
    def partly_priced_calls(self) -> int:
        """Calls whose cost is only partly known: a part of them has no price."""
        return self.totals.partly_priced_calls

    @property
    def unknown_calls(self) -> int:
        """Calls whose usage the provider did not report."""
        return self.totals.unknown_calls

    @property
    def assumed_tokens(self) -> int:
        """Estimated tokens that the `unknown_calls` have used at least."""
        return self.totals.assumed_tokens

    @property
    def saved_tokens(self) -> int:
        """Tokens saved by LangChain's cache."""
        return self.totals.saved_tokens

    @property
    def saved_cost_usd(self) -> float:
        """US dollars saved by LangChain's cache."""
        return self.totals.saved_cost_usd

    def to_dict(self) -> dict[str, Any]:
        """Return all sums and calls as a JSON-compatible dict."""
        totals, models, outcomes, calls = self._account.read()
        return {
            **totals.to_dict(),
            "refused": self.refused,
            "by_model": {name: one.to_dict() for name, one in models.items()},
            "by_outcome": {name: one.to_dict() for name, one in outcomes.items()},
            "each_call": [call.to_dict() for call in calls],
        }

    def __str__(self) -> str:
        totals, models, outcomes, _ = self._account.read()
        lines = [_line("all", totals)]
        if len(models) > 1:
            lines += [_line(f"  {name}", one) for name, one in sorted(models.items())]
        others = [name for name in outcomes if name != "ok"]
        lines += [_line(f"  {name}", outcomes[name]) for name in sorted(others)]
        if self.refused:
            lines.append(f"  refused: {self.refused} calls beyond the budget")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """Return an HTML table by model for notebooks."""
        rows = "".join(
            f"<tr><td>{escape(model)}</td><td>{one.calls:,}</td>"
            f"<td>{one.input_tokens:,}</td><td>{one.output_tokens:,}</td>"
            f"<td>{one.cost_usd:.6f}</td></tr>"
            for model, one in {**self.by_model, "total": self.totals}.items()
        )
        return (
            "<table><thead><tr><th>model</th><th>calls</th><th>input tokens</th>"
            f"<th>output tokens</th><th>cost, $</th></tr></thead><tbody>{rows}</tbody>"
            "</table>"
        )

    def __repr__(self) -> str:
        totals = self.totals
        return (
            f"<TrackedUsage calls={totals.calls} input_tokens={totals.input_tokens} "
            f"output_tokens={totals.output_tokens} cost_usd={totals.cost_usd:.6f}>"
        )


def _unpickled(key: str, limits: Any, closed: bool, sums: Any) -> TrackedUsage:  # noqa: FBT001 -- as it is pickled
    """Return the pickled object, or one that starts with the pickled sums."""
    known = _pickled.get(key)
    if known is None:
        known = TrackedUsage(Account(limits, sums))
        known._account.closed = closed  # noqa: SLF001 -- of this module
        if not closed:
            # In use even if it is never entered, as that of a bound function.
            known._use_until_collected()  # noqa: SLF001 -- as above
    return known


def track_usage(
    *,
    max_tokens: int | None = None,
    max_cost_usd: float | Decimal | None = None,
    max_calls: int | None = None,
    on_exceed: str = "raise",
    on_unpriced: str = "count",
) -> TrackedUsage:
    """Track the usage of the model calls started inside a ``with`` block.

    It covers calls in tasks, in ``gather``, and in LangChain's batches, streams, tools
    and graphs, with or without a handler, including failed and cancelled calls. Blocks
    can be nested: calls in the inner block also count in the outer one.

    With a limit, each call is checked before it is made: it reserves its
    ``max_tokens`` and an estimate of its input, and releases at its end what it has not
    used. So concurrent calls cannot exceed a limit together. A call without
    ``max_tokens`` reserves as much as the longest of its model's last answers.

    Args:
        max_tokens: Limit of input and output tokens together.
        max_cost_usd: Limit of the cost in US dollars.
        max_calls: Limit of the number of model calls, without cache hits.
        on_exceed: ``raise`` refuses a call that may exceed a limit with
            `BudgetExceeded`; ``warn`` lets it through, with one log line.
        on_unpriced: How ``max_cost_usd`` treats a call whose price is not known:
            ``raise`` refuses it, ``count`` lets it through with one log line for each
            model, ``allow`` lets it through without one.

    Returns:
        The usage; a context manager, also for ``async with``.

    Raises:
        ValueError: An argument has a value that is not allowed.
    """
    chosen = limits(max_tokens, max_cost_usd, max_calls, on_exceed, on_unpriced)
    return TrackedUsage(Account(chosen))


def _of_its_kind(function: Callable[_P, Any], call: Callable[_P, Any]) -> Any:
    """Return `call` as a function of the same kind as `function`."""
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def task(*args: _P.args, **kwargs: _P.kwargs) -> Any:
            return await call(*args, **kwargs)

        return task
    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def steps(*args: _P.args, **kwargs: _P.kwargs) -> Any:
            return (yield from call(*args, **kwargs))

        return steps
    if inspect.isasyncgenfunction(function):

        @functools.wraps(function)
        async def later(*args: _P.args, **kwargs: _P.kwargs) -> Any:
            async with contextlib.aclosing(call(*args, **kwargs)) as source:
                step = anext(source)
                with contextlib.suppress(StopAsyncIteration):
                    while True:
                        value = await step
                        try:
                            sent = yield value
                        except Exception as error:  # noqa: BLE001 -- for the source
                            step = source.athrow(error)
                        else:
                            step = source.asend(sent)

        return later
    return call


class _BoundStream(Iterator[Any]):
    """A stream or generator whose steps are on an account."""

    def __init__(self, source: Any, usage: TrackedUsage) -> None:
        self._source = source
        self._joined = usage._joined  # noqa: SLF001 -- of this module

    def __next__(self) -> Any:
        with self._joined():
            return next(self._source)

    def __getattr__(self, name: str) -> Any:
        """Return a generator's ``send``, ``throw`` or ``close``, on the account."""
        function = getattr(self._source, name)

        def step(*args: Any) -> Any:
            with self._joined():
                return function(*args)

        return step if callable(function) else function


class _BoundAsyncStream(AsyncIterator[Any]):
    """An async stream or generator whose steps are on an account."""

    def __init__(self, source: Any, usage: TrackedUsage) -> None:
        self._source = source
        self._joined = usage._joined  # noqa: SLF001 -- of this module

    async def __anext__(self) -> Any:
        with self._joined():
            return await anext(self._source)

    def __getattr__(self, name: str) -> Any:
        """Return a generator's ``asend``, ``athrow`` or ``aclose``, on the account."""
        function = getattr(self._source, name)

        async def step(*args: Any) -> Any:
            with self._joined():
                return await function(*args)

        return step if callable(function) else function


def _line(name: str, totals: Totals) -> str:
    """Return sums as one line of text."""
    text = (
        f"{name}: {totals.calls} calls, {totals.input_tokens:,} tokens in, "
        f"{totals.output_tokens:,} out, ${totals.cost_usd:.6f}"
    )
    if totals.unpriced_tokens:
        text += f" and {totals.unpriced_tokens:,} tokens without a price"
    if totals.partly_priced_calls:
        text += f" and a part of {totals.partly_priced_calls} calls without a price"
    if totals.unknown_calls:
        text += (
            f"; {totals.unknown_calls} calls reported no usage, at least "
            f"{totals.assumed_tokens:,} tokens"
        )
    if totals.saved_tokens:
        text += f"; {totals.saved_tokens:,} tokens (${totals.saved_cost_usd:.6f}) saved"
    return text
