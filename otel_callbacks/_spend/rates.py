"""The exact cost of tokens at the prices of one model.

A price list has a price for each token type, and the price of a part replaces that of
its whole. So the cost is one product for each token type; the factor of a part is the
difference to its whole. The arithmetic uses integers and does not depend on the app's
decimal context.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from otel_callbacks._records import EXACT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from otel_callbacks._records import Usage

    Tiers: TypeAlias = tuple[tuple[int, Decimal], ...]
    """Pairs of the input tokens above which a price holds, from 0, and the price."""

INPUT: Final = "input"
OUTPUT: Final = "output"
CACHE_READ: Final = "cache_read"
CACHE_WRITE: Final = "cache_write"
REASONING: Final = "reasoning"
AUDIO_INPUT: Final = "audio_input"
AUDIO_OUTPUT: Final = "audio_output"
PER_CALL: Final = "per_call"
CACHE_WRITE_1H: Final = "cache_write_1h"
IMAGE_INPUT: Final = "image_input"
IMAGE_OUTPUT: Final = "image_output"
CACHED_AUDIO: Final = "cached_audio"
"""No usage reports how many of the cached tokens are audio."""
WEB_SEARCH: Final = "web_search"
FILE_SEARCH: Final = "file_search"
FAST: Final = "fast"
"""Not a token type: the whole call was served at another rate."""

BILLED: Final = {
    CACHE_WRITE_1H: CACHE_WRITE,
    IMAGE_INPUT: INPUT,
    IMAGE_OUTPUT: OUTPUT,
}
"""Token types that usage has no detail for -> their whole."""

PARTS_OF_INPUT: Final = (CACHE_READ, CACHE_WRITE, AUDIO_INPUT)
PARTS_OF_OUTPUT: Final = (REASONING, AUDIO_OUTPUT)
TOKENS: Final = (INPUT, OUTPUT, *PARTS_OF_INPUT, *PARTS_OF_OUTPUT, *BILLED)
"""Token types, as prices name them."""

_PER_MILLION: Final = 6
_ALWAYS: Final = 0


class _Band(NamedTuple):
    """Integer factors that hold above a number of input tokens."""

    above: int
    input: int
    output: int
    cache_read: int
    cache_write: int
    audio_input: int
    reasoning: int
    audio_output: int
    per_call: int


class Rates:
    """The prices of one model at one point in time."""

    __slots__ = (
        "_bands",
        "_has_input",
        "_has_output",
        "_is_whole",
        "_scale",
        "free",
        "included",
        "is_partial",
        "known",
        "prices",
    )

    def __init__(
        self,
        prices: Mapping[str, Tiers],
        *,
        free: bool = False,
        included: Iterable[str] = (),
        is_partial: bool = False,
    ) -> None:
        self.prices = dict(prices)
        self.is_partial = is_partial
        self.included = frozenset(included)
        self.free = free
        self.known = frozenset(prices)
        self._is_whole = not is_partial and CACHED_AUDIO not in prices
        self._has_input = free or INPUT in prices
        self._has_output = free or OUTPUT in prices
        amounts = [amount for tiers in prices.values() for _, amount in tiers]
        places = max((-_exponent(amount) for amount in amounts), default=0)
        self._scale = -(places + _PER_MILLION)
        starts = {above for tiers in prices.values() for above, _ in tiers}
        self._bands = tuple(
            self._band(above, places)
            for above in sorted(starts | {_ALWAYS}, reverse=True)
        )

    def cost(self, usage: Usage) -> Decimal | None:
        """Return the cost of tokens in US dollars; None if a price is not known."""
        input_tokens, output_tokens = usage.input_tokens or 0, usage.output_tokens or 0
        if (input_tokens and not self._has_input) or (
            output_tokens and not self._has_output
        ):
            return None
        for band in self._bands:
            if input_tokens > band.above:
                break
        total = input_tokens * band.input + output_tokens * band.output + band.per_call
        if usage.cache_read or usage.cache_write or usage.audio_input:
            if not self._is_part(usage, PARTS_OF_INPUT, input_tokens):
                return None
            total += usage.cache_read * band.cache_read
            total += usage.cache_write * band.cache_write
            total += usage.audio_input * band.audio_input
        if usage.reasoning or usage.audio_output:
            if not self._is_part(usage, PARTS_OF_OUTPUT, output_tokens):
                return None
            total += usage.reasoning * band.reasoning
            total += usage.audio_output * band.audio_output
        return Decimal(total).scaleb(self._scale, EXACT)

    def cost_of(
        self, usage: Usage, billed: Sequence[tuple[str, int]]
    ) -> tuple[Decimal | None, bool]:
        """Return the cost with items billed beside usage, and if it is partial."""
        cost = self.cost(usage)
        if cost is None or self.free or (not billed and self._is_whole):
            return cost, False
        is_partial = self.is_partial or (
            CACHED_AUDIO in self.known and bool(usage.cache_read and usage.audio_input)
        )
        for kind, amount in billed:
            if kind in self.known:
                cost = EXACT.add(cost, self._beside(kind, amount, usage))
            elif kind not in {IMAGE_INPUT, IMAGE_OUTPUT}:
                # Images without a rate of their own cost as much as text.
                is_partial = is_partial or kind not in self.included
        return cost, is_partial

    def _beside(self, kind: str, amount: int, usage: Usage) -> Decimal:
        """Return the cost of a part beyond the cost of its whole."""
        above = (usage.input_tokens or 1) - 1
        rate = _at(self.prices[kind], above)
        whole = BILLED.get(kind)
        if whole is not None:
            # A whole without a price costs as much as input.
            whole = whole if whole in self.prices else INPUT
            rate = EXACT.subtract(rate, _at(self.prices[whole], above))
        return EXACT.multiply(rate, Decimal(amount).scaleb(-_PER_MILLION, EXACT))

    def _is_part(self, usage: Usage, parts: Iterable[str], whole: int) -> bool:
        """Return whether the parts that have a price fit into their whole."""
        priced = [getattr(usage, part) for part in parts if part in self.known]
        return int(sum(priced)) <= whole

    def _band(self, above: int, places: int) -> _Band:
        """Return the factors above a number of input tokens."""
        amounts = {
            kind: int(_at(tiers, above).scaleb(places, EXACT))
            for kind, tiers in self.prices.items()
        }
        input_tokens, output_tokens = amounts.get(INPUT, 0), amounts.get(OUTPUT, 0)
        return _Band(
            above,
            input_tokens,
            output_tokens,
            **{
                part: amounts.get(part, input_tokens) - input_tokens
                for part in PARTS_OF_INPUT
            },
            **{
                part: amounts.get(part, output_tokens) - output_tokens
                for part in PARTS_OF_OUTPUT
            },
            per_call=amounts.get(PER_CALL, 0),
        )


def flat(amount: Decimal) -> Tiers:
    """Return a price that does not depend on the number of tokens."""
    return ((_ALWAYS, amount),)


def _at(tiers: Tiers, above: int) -> Decimal:
    """Return the price above a number of input tokens."""
    return [amount for start, amount in tiers if start <= above][-1]


def _exponent(amount: Decimal) -> int:
    """Return the power of ten of a price's last digit."""
    exponent = amount.as_tuple().exponent
    assert isinstance(exponent, int)  # noqa: S101 -- prices are finite
    return exponent
