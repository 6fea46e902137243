"""The cost of a call: as the provider reports it, by the user's prices or by a list."""

from __future__ import annotations

import glob
import json
from typing import TYPE_CHECKING, Final, NamedTuple

from otel_callbacks._records import NO_ATTRIBUTES, UNKNOWN_COST, Cost
from otel_callbacks._semconv import (
    BILLED_OPERATIONS,
    OPENAI_RESPONSE_SERVICE_TIER,
)
from otel_callbacks._spend.price_file import PriceFile
from otel_callbacks._spend.price_list import moment_of, sold
from otel_callbacks._spend.rates import FAST

if TYPE_CHECKING:
    from decimal import Decimal

    from genai_prices.data_snapshot import DataSnapshot

    from otel_callbacks._diagnostics import Diagnostics
    from otel_callbacks._records import Attributes, Request, Response
    from otel_callbacks._spend.rates import Rates

_WHERE: Final = "price"
_KEPT_AT_MOST: Final = 10_000
_LOGGED_AT_MOST: Final = 50
_FAKE: Final = ("fake", "otel-callbacks")
"""Providers of the shipped fake models, which cost nothing."""

_Key = tuple[str, str, int, str, str, str, bool]


class _Found(NamedTuple):
    """The prices of a key, and the time range in which they hold, Unix nanoseconds."""

    since: int
    until: int
    rates: Rates | None


class _Last(NamedTuple):
    """The last call: one that is like it costs by the same rates."""

    deployment: tuple[object, ...]
    """The request's provider, model, server address and port."""
    model: str
    attributes: Attributes
    snapshot: DataSnapshot | None
    found: _Found


_new: Final = tuple.__new__  # half the time of calling the class
_NO_LAST: Final = _Last((), "", NO_ATTRIBUTES, None, _Found(0, 0, None))


class Pricing:
    """Prices the calls of one pipeline.

    A price is looked up once for each model, server and tier, and again when prices may
    have changed: at midnight UTC, at a time of day at which a price of the model
    changes, and when genai-prices' updater has loaded new prices.
    """

    def __init__(
        self, diagnostics: Diagnostics, path: str = "", *, is_logged: bool = True
    ) -> None:
        # Imported here because it takes 90 ms.
        from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415

        self._diagnostics = diagnostics
        self._own = PriceFile.read(path)
        self._is_logged = is_logged
        self._get_snapshot = get_snapshot
        self._snapshot: DataSnapshot = get_snapshot()
        self._found: dict[_Key, _Found] = {}
        self._last = _NO_LAST
        self._logged: set[tuple[str, str]] = set()
        # The model named in the responses of a deployment.
        self._answered: dict[tuple[str, str, int, str], str] = {}

    def price(
        self, request: Request, response: Response, start_ns: int
    ) -> Decimal | None:
        """Return the cost of a call in US dollars; None if it is not known."""
        return self.cost(request, response, start_ns).usd

    def cost(self, request: Request, response: Response, start_ns: int) -> Cost:
        """Return the cost of a call."""
        if request.operation not in BILLED_OPERATIONS:
            return UNKNOWN_COST
        if response.reported_cost:
            return Cost(response.reported_cost)
        usage = response.usage
        # The price of the output alone would be only a part of the cost.
        if usage is None or usage.input_tokens is None:
            return Cost(response.reported_cost)
        try:
            rates = self._rates(request, response, start_ns)
            found = UNKNOWN_COST
            if rates is not None:
                found = _new(Cost, rates.cost_of(usage, response.billed))
        except Exception as error:  # noqa: BLE001 -- pricing never breaks the app
            self._diagnostics.trouble(_WHERE, error)
            return UNKNOWN_COST
        if found.usd is None and response.reported_cost is not None:
            # A zero; proxies also report it for models that they have no price for.
            return Cost(response.reported_cost)
        if found.usd is None and self._is_logged:
            self._log(request, response)
        return found

    def _rates(
        self, request: Request, response: Response, start_ns: int
    ) -> Rates | None:
        """Return the prices that hold for a call."""
        attributes = response.attributes
        snapshot = self._get_snapshot()
        last, model, about, of, (since, until, rates) = self._last
        if (
            last == request[2:6]
            and about is attributes
            and of is snapshot
            and model == response.model
            and since <= start_ns < until
            and not response.billed
        ):
            return rates
        tier = (
            ""
            if attributes is NO_ATTRIBUTES
            else str(attributes.get(OPENAI_RESPONSE_SERVICE_TIER, ""))
        )
        deployment = (
            request.provider,
            request.server_address,
            request.server_port,
            request.model,
        )
        answered = response.model
        if not answered:
            answered = self._answered.get(deployment, "")
        elif self._answered.get(deployment) != answered:
            if len(self._answered) >= _KEPT_AT_MOST:
                self._answered = {}
            self._answered[deployment] = answered
        billed = response.billed
        is_fast = bool(billed) and any(kind == FAST for kind, _ in billed)
        key = (*deployment, answered, tier, is_fast)
        if snapshot is not self._snapshot:
            self._snapshot = snapshot
            self._found = {}
        known = self._found.get(key)
        if known is None or not known.since <= start_ns < known.until:
            known = self._look_up(snapshot, key, start_ns)
            # A new dict: another thread may be reading the old one.
            if len(self._found) >= _KEPT_AT_MOST:
                self._found = {}
            self._found[key] = known
        if not is_fast:
            last = request[2:6]
            self._last = _Last(last, response.model, attributes, snapshot, known)
        return known.rates

    def _look_up(self, snapshot: DataSnapshot, key: _Key, start_ns: int) -> _Found:
        """Return a model's prices: the user's, else the list's, by either name."""
        provider, address, port, requested, answered, tier, is_fast = key
        at = moment_of(start_ns)
        since, until = _day_of(start_ns)
        names = [name for name in (answered, requested) if name]
        for name in names:
            if (own := self._own.find(provider, address, port, name, at)) is not None:
                return _Found(since, until, own)
        provider, address = self._own.seller(provider, address, port)
        for name in names:
            if (model := sold(snapshot, provider, address, port, name)) is not None:
                found = model.rates(at, tier, is_fast=is_fast)
                return _Found(*model.holds(at), found)
        return _Found(since, until, None)

    def _log(self, request: Request, response: Response) -> None:
        """Log once that a model has no price, with the entry to add."""
        model = response.model or request.model
        name = (request.provider, model)
        if name in self._logged or len(self._logged) >= _LOGGED_AT_MOST:
            return
        if name[0].startswith(_FAKE):
            return
        self._logged.add(name)
        server = f" at {request.server_address}" if request.server_address else ""
        self._diagnostics.log_once(
            "price",
            f"no price is known for model {model!r} of provider {request.provider!r}"
            f"{server}; its tokens are counted as unpriced. Add this, with its prices "
            "of a million tokens, to the end of the file that OTEL_CALLBACKS_PRICES "
            f"names:\n{_entry(request, model)}"
            if model
            else "a call and its answer name no model, so its price is not known; its "
            "tokens are counted as unpriced.",
            about=" ".join(name),
        )


def _entry(request: Request, model: str) -> str:
    """Return an entry to append to the price file."""
    # In the file, brackets such as those of "sonnet[1m]" are a pattern.
    fields = {"model": glob.escape(model), "provider": request.provider}
    if request.server_address:
        fields["server"] = request.server_address
    texts = [
        f"{name} = {json.dumps(text, ensure_ascii=False)}"
        for name, text in fields.items()
        if text
    ]
    return "\n".join(("[[prices]]", *texts, "input = 0.0", "output = 0.0"))


_DAY_NS: Final = 86_400 * 10**9


def _day_of(unix_ns: int) -> tuple[int, int]:
    """Return the start and the end of a UTC day in Unix nanoseconds."""
    start = unix_ns - unix_ns % _DAY_NS
    return start, start + _DAY_NS
