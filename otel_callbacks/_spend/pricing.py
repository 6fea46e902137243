"""Says what a call cost: the provider's own word, the user's prices, the known ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from otel_callbacks._records import NO_ATTRIBUTES
from otel_callbacks._semconv import (
    BILLED_OPERATIONS,
    OPENAI_RESPONSE_SERVICE_TIER,
)
from otel_callbacks._spend.price_file import PriceFile
from otel_callbacks._spend.price_list import compiled, moment_of, sold

if TYPE_CHECKING:
    from decimal import Decimal

    from genai_prices.data_snapshot import DataSnapshot

    from otel_callbacks._diagnostics import Health
    from otel_callbacks._records import Request, Response
    from otel_callbacks._spend.rates import Rates

_WHERE: Final = "price"
_KEPT_AT_MOST: Final = 10_000
_SAID_AT_MOST: Final = 50
_FAKE: Final = ("fake", "otel-callbacks")
"""Providers of the shipped fake models: nobody sends a bill for these."""

_Key = tuple[str, str, int, str, str, str]


class _Found(NamedTuple):
    """What a key has cost since a moment, and how long it does."""

    since: int
    until: int
    rates: Rates | None


class Pricing:
    """Says what calls cost; made once for each pipeline.

    A price is looked up once for each model, server and tier, and again when the
    prices may have changed: at midnight, UTC, at a time of day at which one of the
    model's prices changes, and when genai-prices' own updater has brought others.

    Args:
        health: Who is told of troubles.
        path: The user's file of prices; none where it is empty.
        says: Whether a model without a price is said in a log line.

    Raises:
        SettingError: The file is wrong.
    """

    def __init__(self, health: Health, path: str = "", *, says: bool = True) -> None:
        # Here, because it takes 90 ms: not for who only imports the package.
        from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415

        self._health = health
        self._own = PriceFile.read(path)
        self._says = says
        self._get_snapshot = get_snapshot
        self._snapshot: DataSnapshot = get_snapshot()
        self._found: dict[_Key, _Found] = {}
        self._said: set[tuple[str, str]] = set()

    def price(
        self, request: Request, response: Response, start_ns: int
    ) -> Decimal | None:
        """Say what a call cost.

        Args:
            request: What was asked.
            response: What came back.
            start_ns: When it was asked, Unix time in nanoseconds.

        Returns:
            US dollars; None where the price is not known, or nothing was said of the
            tokens. A model that is free costs 0.
        """
        if request.operation not in BILLED_OPERATIONS:
            return None
        if response.reported_cost is not None:
            return response.reported_cost
        usage = response.usage
        # Of the output alone a price would be a part of it.
        if usage is None or usage.input_tokens is None:
            return None
        try:
            rates = self._rates(request, response, start_ns)
            cost = None if rates is None else rates.cost(usage)
        except Exception as error:  # noqa: BLE001 -- a price is never worth a failure
            self._health.trouble(_WHERE, error)
            return None
        if cost is None and self._says:
            self._say(request, response)
        return cost

    def _rates(
        self, request: Request, response: Response, start_ns: int
    ) -> Rates | None:
        """Return the prices that hold for a call."""
        attributes = response.attributes
        tier = (
            ""
            if attributes is NO_ATTRIBUTES
            else str(attributes.get(OPENAI_RESPONSE_SERVICE_TIER, ""))
        )
        key = (
            request.provider,
            request.server_address,
            request.server_port,
            request.model,
            response.model,
            tier,
        )
        snapshot = self._get_snapshot()
        if snapshot is not self._snapshot:
            self._snapshot = snapshot
            self._found = {}
        known = self._found.get(key)
        if known is None or not known.since <= start_ns < known.until:
            known = self._look_up(snapshot, key, start_ns)
            # Made anew, not emptied: another thread may be reading.
            if len(self._found) >= _KEPT_AT_MOST:
                self._found = {}
            self._found[key] = known
        return known.rates

    def _look_up(self, snapshot: DataSnapshot, key: _Key, start_ns: int) -> _Found:
        """Find a model's prices: the user's, else the known, by either of its names."""
        provider, address, port, requested, answered, tier = key
        at = moment_of(start_ns)
        since, until = _day_of(start_ns)
        names = [name for name in (answered, requested) if name]
        for name in names:
            if (own := self._own.find(provider, address, port, name, at)) is not None:
                return _Found(since, until, own)
        provider, address = self._own.seller(provider, address, port)
        for name in names:
            if (model := sold(snapshot, provider, address, port, name)) is not None:
                return _Found(*model.holds(at), compiled(model.prices(at, tier)))
        return _Found(since, until, None)

    def _say(self, request: Request, response: Response) -> None:
        """Name a model without a price, once, and say what to do."""
        model = response.model or request.model
        name = (request.provider, model)
        if name in self._said or len(self._said) >= _SAID_AT_MOST:
            return
        if name[0].startswith(_FAKE):
            return
        self._said.add(name)
        server = f" at {request.server_address}" if request.server_address else ""
        self._health.say_once(
            "price",
            f"no price is known for model {model!r} of provider {request.provider!r}"
            f"{server}; its tokens are counted as unpriced. "
            "A file named by OTEL_CALLBACKS_PRICES can give its price.",
            about=" ".join(name),
        )


_DAY_NS: Final = 86_400 * 10**9


def _day_of(unix_ns: int) -> tuple[int, int]:
    """Return the start and the end of a day, UTC."""
    start = unix_ns - unix_ns % _DAY_NS
    return start, start + _DAY_NS
