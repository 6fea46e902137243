"""What model calls have spent: the record of one, and the sums over many."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final, NamedTuple

from otel_callbacks._records import CACHE_HIT, Usage

_NO_USAGE: Final = Usage()


class Call(NamedTuple):
    """One model call that has ended.

    Args:
        operation: ``chat``, ``text_completion`` or ``embeddings``.
        provider: ``gen_ai.provider.name``.
        model: The model that was asked for, or that answered.
        outcome: ``ok``, ``error``, ``cancelled``, ``abandoned`` or ``cache_hit``.
        usage: Tokens as the provider counted them; None if it said nothing.
        cost: US dollars, spent or saved; None if the price is not known.
        seconds: How long it took.
        error_class: One of the closed set, empty on success.
        trace_id: Of its span, 32 hexadecimal digits; empty without a span.
        span_id: The same, 16 digits.
    """

    operation: str
    provider: str
    model: str
    outcome: str
    usage: Usage | None
    cost: Decimal | None
    seconds: float
    error_class: str = ""
    trace_id: str = ""
    span_id: str = ""

    @property
    def cost_usd(self) -> float | None:
        """US dollars as a number; None if the price is not known."""
        return None if self.cost is None else float(self.cost)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON knows it."""
        fields = self._asdict()
        del fields["cost"]
        fields["usage"] = None if self.usage is None else self.usage._asdict()
        return {**fields, "cost_usd": self.cost_usd}


class Totals:
    """Sums over calls. What a cache has answered is saved and not spent."""

    __slots__ = (
        "calls",
        "cost",
        "details",
        "input_tokens",
        "output_tokens",
        "saved_cost",
        "saved_tokens",
        "unpriced_tokens",
    )

    def __init__(self) -> None:
        self.calls = 0
        self.input_tokens = 0
        self.output_tokens = 0
        self.details = dict.fromkeys(Usage._fields[2:], 0)
        self.cost = Decimal(0)
        self.saved_tokens = 0
        self.saved_cost = Decimal(0)
        self.unpriced_tokens = 0

    def add(self, call: Call, *, late: bool = False) -> None:
        """Add a call.

        Args:
            call: The call.
            late: It was added before; what comes now are its tokens.
        """
        usage = call.usage or _NO_USAGE
        given, taken = usage.input_tokens or 0, usage.output_tokens or 0
        self.calls += not late
        if call.outcome == CACHE_HIT:
            self.saved_tokens += given + taken
            self.saved_cost += call.cost or 0
            return
        self.input_tokens += given
        self.output_tokens += taken
        for name in self.details:
            self.details[name] += getattr(usage, name)
        if call.cost is not None:
            self.cost += call.cost
        else:
            self.unpriced_tokens += given + taken

    @property
    def total_tokens(self) -> int:
        """Tokens in and out."""
        return self.input_tokens + self.output_tokens

    @property
    def cost_usd(self) -> float:
        """US dollars as a number, without the `unpriced_tokens`."""
        return float(self.cost)

    @property
    def saved_cost_usd(self) -> float:
        """US dollars that a cache has saved, as a number."""
        return float(self.saved_cost)

    def to_dict(self) -> dict[str, Any]:
        """Return the sums as JSON knows them."""
        return {
            "calls": self.calls,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "total_tokens": self.total_tokens,
            **self.details,
            "cost_usd": self.cost_usd,
            "unpriced_tokens": self.unpriced_tokens,
            "saved_tokens": self.saved_tokens,
            "saved_cost_usd": self.saved_cost_usd,
        }

    def copy(self) -> Totals:
        """Return the sums as they are now."""
        other = Totals()
        for name in self.__slots__:
            setattr(other, name, getattr(self, name))
        other.details = dict(self.details)
        return other
