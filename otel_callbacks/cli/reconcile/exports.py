"""Read a provider's usage export: tokens and cost by model and day.

| format | recognised by | source |
|---|---|---|
| JSON of OpenAI's usage API | buckets of ``organization.usage...`` results | 1 |
| JSON of OpenAI's costs API | buckets of ``organization.costs.result`` | 2 |
| JSON of Anthropic's cost report | buckets with ``starting_at``, in cents | 3 |
| JSON of Anthropic's usage report | ``uncached_input_tokens`` | 4 |
| CSV export of OpenAI's usage page | ``start_time_iso``, ``input_tokens`` | 1 |
| CSV export of OpenAI's costs page | ``start_time_iso``, ``amount_value`` | 2 |
| any CSV | ``date``, ``model``, ``input_tokens``, ``output_tokens``, ``cost`` | |

1. https://platform.openai.com/docs/api-reference/usage/completions
2. https://platform.openai.com/docs/api-reference/usage/costs
3. https://docs.claude.com/en/api/admin-api/usage-cost/get-cost-report
4. https://docs.claude.com/en/api/admin-api/usage-cost/get-messages-usage-report
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from otel_callbacks import _semconv as semconv
from otel_callbacks.cli._common import refuse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_DAYS: Final = ("date", "day", "start_time_iso", "start_time", "timestamp")
_MODELS: Final = ("model", "line_item", "snapshot_id")
_INPUT: Final = ("input_tokens", "prompt_tokens", "n_context_tokens_total")
_OUTPUT: Final = ("output_tokens", "completion_tokens", "n_generated_tokens_total")
_COST: Final = ("cost", "cost_usd", "amount_value", "amount")
_USD: Final = "usd"
_CURRENCIES: Final = ("amount_currency", "currency", "cost_currency")
_OTHER_COST: Final = re.compile("cost|amount|price|charge|spend|spent")
_ISO: Final = "start_time_iso"
_OPENAI: Final = "openai"
_EMBEDDINGS: Final = frozenset({semconv.EMBEDDINGS})
_KINDS: Final = {
    "organization.usage.completions.result": semconv.MODEL_OPERATIONS,
    "organization.usage.embeddings.result": _EMBEDDINGS,
}
_DAYS_AT_MOST: Final = 400
_NOT_READ: Final = (
    *(ValueError, TypeError, KeyError, AttributeError, OverflowError),
    RecursionError,
)
"""What reading something else ends with."""


class Item(NamedTuple):
    """A provider's numbers for a model on a day, UTC."""

    day: date
    model: str
    """Empty where the export has no models."""
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    operations: frozenset[str] | None = None
    """The operations in the export; None for all."""

    @property
    def is_used(self) -> bool:
        """Whether there is a number; a day without numbers has no usage."""
        return self[2:5] != (None, None, None)


class Export(NamedTuple):
    """The content of an export."""

    items: tuple[Item, ...]
    provider: str = ""
    """The only provider in the export; empty if the export does not name it."""
    unused: tuple[date, ...] = ()
    """Days that it reports without usage."""

    @property
    def operations(self) -> frozenset[str] | None:
        """The operations in the export; None for all."""
        known = [item.operations for item in self.items]
        return None if None in known else frozenset().union(*filter(None, known))

    @property
    def days(self) -> list[date]:
        """All days from the first to the last, with those without usage."""
        days = [*self.unused, *(item.day for item in self.items)]
        first, last = min(days), max(days)
        return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def read_export(path: Path) -> Export:
    """Read an export."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        refuse(getattr(error, "strerror", None) or "it is not UTF-8")
    if not text.strip():
        refuse("it is empty")
    is_json = text.lstrip()[:1] in {"{", "["}
    try:
        items = tuple(_of_json(text) if is_json else _of_csv(text))
    except (*_NOT_READ, csv.Error) as error:
        refuse(f"it is no usage export that is known ({error})")
    used = tuple(item for item in items if item.is_used)
    if not used:
        refuse("it holds no usage")
    if is_json:
        provider = "anthropic" if '"starting_at"' in text else _OPENAI
    else:
        provider = _OPENAI if _ISO in text.partition("\n")[0] else ""
    unused = tuple(item.day for item in items if not item.is_used)
    export = Export(used, provider, unused)
    if len(export.days) > _DAYS_AT_MOST:
        refuse(f"it is of {export.days[0]} to {export.days[-1]}, which is too long")
    return export


def _of_json(text: str) -> Iterator[Item]:
    """Read the pages of OpenAI's usage and costs APIs, one or a list of them."""
    pages: Any = json.loads(text)
    for page in pages if isinstance(pages, list) else [pages]:
        if more := page.get("has_more") or (page.get("next_page") and "next_page"):
            name = more if isinstance(more, str) else "has_more"
            refuse(f"it is one page of several ({name!r}): fetch all of them first")
        for bucket in page["data"]:
            is_anthropic = "starting_at" in bucket
            day = _day(bucket["starting_at" if is_anthropic else "start_time"])
            # A bucket without results means no usage on this day.
            yield Item(day, "")
            if is_anthropic:
                yield from (_of_anthropic(day, result) for result in bucket["results"])
            else:
                results = bucket.get("results") or bucket.get("result") or ()
                yield from (_of_openai(day, result) for result in results)


def _of_anthropic(day: date, result: Mapping[str, Any]) -> Item:
    """Read one result of Anthropic's reports; costs are cents, as decimal text."""
    model = result.get("model") or ""
    if "uncached_input_tokens" in result:
        written = (result.get("cache_creation") or {}).values()
        parts = (result.get("cache_read_input_tokens"), *written)
        inputs = _whole(result["uncached_input_tokens"])
        inputs += sum(_whole(part or 0) for part in parts)
        return Item(day, model, inputs, _whole(result["output_tokens"]))
    return Item(day, model, cost_usd=_dollars(result, "amount") / 100)


def _of_openai(day: date, result: Mapping[str, Any]) -> Item:
    """Read one result of a bucket, with usage or costs."""
    amount = result.get("amount")
    if amount is None:
        kind = str(result.get("object") or "")
        if kind and kind not in _KINDS:
            refuse(f"it holds {kind}, which LangChain does not report")
        inputs, outputs = _whole(result["input_tokens"]), result.get("output_tokens")
        is_text = kind not in _KINDS and outputs is not None
        counted = _KINDS.get(kind, semconv.MODEL_OPERATIONS if is_text else _EMBEDDINGS)
        model = result.get("model") or ""
        output_tokens = None if counted is _EMBEDDINGS else _whole(outputs or 0)
        return Item(day, model, inputs, output_tokens, operations=counted)
    model = _of_line(result.get("line_item"))
    return Item(day, model, cost_usd=_dollars(amount, "value"))


def _of_csv(text: str) -> Iterator[Item]:
    """Read a CSV file by the names of its columns."""
    rows = csv.DictReader(io.StringIO(text))
    columns = {name: name.strip().lower() for name in rows.fieldnames or ()}
    names = set(columns.values())
    if len(names) < len(rows.fieldnames or ()):
        refuse("two of its columns have the same name")
    other = next(filter(_OTHER_COST.search, sorted(names)), None)
    if other is not None and not names & set(_COST):
        # If it were skipped, tokens would agree and missing dollars go unnoticed.
        refuse(f"its costs are in the column {other!r}; in US dollars it is cost")
    day = next((name for name in _DAYS if name in names), None)
    if day is None or not names & {*_INPUT, *_OUTPUT, *_COST}:
        wanted = "date, model, input_tokens, output_tokens, cost"
        refuse(f"its columns are {', '.join(sorted(names))}; wanted are {wanted}")
    counted = None
    if _ISO in names and not names & set(_COST):
        # OpenAI's usage page exports completions and embeddings separately.
        counted = semconv.MODEL_OPERATIONS if names & set(_OUTPUT) else _EMBEDDINGS
    for row in rows:
        # DictReader keeps the rest of a row that is too long under None.
        cells = {columns[name]: row[name] or "" for name in columns}
        inputs, outputs = (
            _whole(text) if (text := _first(cells, names)) else None
            for names in (_INPUT, _OUTPUT)
        )
        cost = _first(cells, _COST).lstrip("$")
        currency = _first(cells, _CURRENCIES) or _USD
        # A row without numbers means no usage on this day.
        yield Item(
            _day(cells[day]),
            _of_line(_first(cells, _MODELS)),
            inputs,
            outputs,
            _dollars({"cost": cost, "currency": currency}, "cost") if cost else None,
            counted,
        )


def _first(cells: Mapping[str, str], names: tuple[str, ...]) -> str:
    """Return the first cell that is not empty."""
    return next((cells[name] for name in names if cells.get(name)), "")


def _whole(value: object) -> int:
    """Read a number of tokens."""
    number = _number(value)
    if number < 0 or number % 1:
        refuse(f"{value!r} is no number of tokens")
    return int(number)


def _number(text: object) -> float:
    """Read a finite number; ``nan`` would equal everything."""
    number = float(str(text))
    if not math.isfinite(number):
        refuse(f"{text!r} is no number of tokens or dollars")
    return number


def _dollars(fields: Mapping[str, Any], name: str) -> float:
    """Read an amount, which must be in US dollars."""
    currency = str(fields.get("currency", _USD))
    if currency.lower() != _USD:
        refuse(f"its costs are in {currency}, not in US dollars")
    return _number(fields[name])


def _of_line(text: object) -> str:
    """Return the model of a billing line: ``gpt-4o-mini-2024-07-18, input``."""
    return text.partition(",")[0].strip() if isinstance(text, str) else ""


def _day(value: object) -> date:
    """Read a day, from Unix seconds or ISO 8601."""
    text = str(value).strip()
    if text.replace(".", "", 1).isdigit() and len(text) > len("20260101"):
        return datetime.fromtimestamp(float(text), UTC).date()
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo is None else moment.astimezone(UTC)).date()
