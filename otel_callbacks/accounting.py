"""What a piece of code spends on model calls, and a limit on that.

```python
with track_usage(max_cost_usd=0.50) as usage:
    await asyncio.gather(*(llm.agenerate([m]) for m in messages))
print(usage)
```
"""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar

from otel_callbacks._instrument import hook
from otel_callbacks._spend import accounts
from otel_callbacks._spend.accounts import Account, Call, Totals, use_budget
from otel_callbacks._spend.budgets import BudgetExceeded, limits

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Token
    from decimal import Decimal
    from types import TracebackType

__all__ = ["BudgetExceeded", "Call", "Totals", "TrackedUsage", "track_usage"]

_P = ParamSpec("_P")
_T = TypeVar("_T")


class TrackedUsage:
    """What the model calls have used that were started inside a ``with`` block.

    It may be read at any time, also while calls are under way, and in any thread. It
    is entered once. Made by `track_usage`.

    Args:
        account: Where the calls are put.
    """

    def __init__(self, account: Account) -> None:
        self._account = account
        self._token: Token[tuple[Account, ...]] | None = None

    # -- the block ------------------------------------------------------------

    def __enter__(self) -> Self:
        if self._token is not None:
            message = "this track_usage() was entered before; make another one"
            raise RuntimeError(message)
        hook.keep_accounts()
        self._token = accounts.current.set((*accounts.current.get(), self._account))
        if self._account.limits is not None:
            use_budget(1)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._account.closed or self._token is None:
            return
        self._account.closed = True
        if self._account.limits is not None:
            use_budget(-1)
        try:
            accounts.current.reset(self._token)
        except ValueError:
            # Left in another context than it was entered in, as request scopes made
            # of generators are; there a closed account is passed over.
            return

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, traceback)

    def bind(self, function: Callable[_P, _T]) -> Callable[_P, _T]:
        """Return a function whose calls are on this account in whatever thread it runs.

        ``asyncio.to_thread`` and LangChain's own threads need no help. A plain
        ``threading.Thread`` or ``ThreadPoolExecutor.submit`` begins with an empty
        context, and would be on no account.

        Args:
            function: A function, or a coroutine function.

        Example:
            >>> executor.submit(usage.bind(llm.invoke), "Roses?")
        """
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def task(*args: Any, **kwargs: Any) -> Any:
                token = self._join()
                try:
                    return await function(*args, **kwargs)
                finally:
                    accounts.current.reset(token)

            return task  # type: ignore[return-value]

        @functools.wraps(function)
        def call(*args: _P.args, **kwargs: _P.kwargs) -> _T:
            token = self._join()
            try:
                return function(*args, **kwargs)
            finally:
                accounts.current.reset(token)

        return call

    def _join(self) -> Token[tuple[Account, ...]]:
        """Put what runs here on the account, too."""
        here = accounts.current.get()
        joined = here if self._account in here else (*here, self._account)
        return accounts.current.set(joined)

    # -- what was used --------------------------------------------------------

    @property
    def calls(self) -> tuple[Call, ...]:
        """The calls that have ended, in the order of their ends; the first 10,000."""
        return self._account.read()[3]

    @property
    def call_count(self) -> int:
        """How many calls have ended, those that a cache answered too."""
        return self.totals.calls

    @property
    def refused(self) -> int:
        """How many calls the limits of this block have refused."""
        return self._account.refused

    @property
    def totals(self) -> Totals:
        """All sums."""
        return self._account.read()[0]

    @property
    def by_model(self) -> dict[str, Totals]:
        """The sums by the model that was asked for."""
        return self._account.read()[1]

    @property
    def by_outcome(self) -> dict[str, Totals]:
        """The sums by outcome: ok, error, cancelled, abandoned, cache_hit."""
        return self._account.read()[2]

    @property
    def input_tokens(self) -> int:
        """Tokens that went in, cached ones of the provider too."""
        return self.totals.input_tokens

    @property
    def output_tokens(self) -> int:
        """Tokens that came out, reasoning too."""
        return self.totals.output_tokens

    @property
    def total_tokens(self) -> int:
        """Tokens in and out; not those that a cache has saved."""
        return self.totals.total_tokens

    @property
    def cost_usd(self) -> float:
        """US dollars; what `unpriced_tokens` cost is not in it."""
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
    def saved_tokens(self) -> int:
        """Tokens that were not spent because LangChain's cache answered."""
        return self.totals.saved_tokens

    @property
    def saved_cost_usd(self) -> float:
        """US dollars that were not spent because LangChain's cache answered."""
        return self.totals.saved_cost_usd

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON knows it."""
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

    def __repr__(self) -> str:
        totals = self.totals
        return (
            f"<TrackedUsage calls={totals.calls} input_tokens={totals.input_tokens} "
            f"output_tokens={totals.output_tokens} cost_usd={totals.cost_usd:.6f}>"
        )


def track_usage(
    *,
    max_tokens: int | None = None,
    max_cost_usd: float | Decimal | None = None,
    max_calls: int | None = None,
    on_exceed: str = "raise",
) -> TrackedUsage:
    """Track what the model calls use that are started inside a ``with`` block.

    It sees calls in tasks, in ``gather``, in LangChain's batches, streams, tools and
    graphs, whether a handler hangs on them or not; those that failed and were
    cancelled, too. Blocks may be nested: what is in the inner one is in the outer, too.

    With a limit, each call is checked before it is made: it reserves its
    ``max_tokens`` and an estimate of its prompt, and gives back at its end what it has
    not used. So calls at the same time cannot exceed a limit together, as far as their
    ``max_tokens`` is set.

    Args:
        max_tokens: Tokens in and out that may be used in all.
        max_cost_usd: US dollars that may be spent; models without a known price are
            not held back, and one log line names them.
        max_calls: Model calls that may be made; answers of a cache are none.
        on_exceed: ``raise`` refuses a call that may go beyond a limit with
            `BudgetExceeded`; ``warn`` lets it through, with one log line.

    Returns:
        What is used; a context manager, also for ``async with``.

    Raises:
        ValueError: An argument has a value that is not allowed.
    """
    return TrackedUsage(Account(limits(max_tokens, max_cost_usd, max_calls, on_exceed)))


def _line(name: str, totals: Totals) -> str:
    """Return sums as one line for people."""
    text = (
        f"{name}: {totals.calls} calls, {totals.input_tokens:,} tokens in, "
        f"{totals.output_tokens:,} out, ${totals.cost_usd:.6f}"
    )
    if totals.unpriced_tokens:
        text += f" and {totals.unpriced_tokens:,} tokens without a price"
    if totals.saved_tokens:
        text += f"; {totals.saved_tokens:,} tokens (${totals.saved_cost_usd:.6f}) saved"
    return text
