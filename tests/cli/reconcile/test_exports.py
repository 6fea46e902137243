from __future__ import annotations

import json
import re
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from otel_callbacks.cli import main
from otel_callbacks.cli.reconcile.exports import Export, Item, read_export

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DAY = date(2024, 11, 1)
MODEL_CALLS = frozenset({"chat", "text_completion"})
BUCKET = {"object": "bucket", "start_time": 1730419200, "end_time": 1730505600}
USAGE_RESULT = {
    "object": "organization.usage.completions.result",
    "input_tokens": 1000,
    "output_tokens": 500,
    "input_cached_tokens": 800,
    "num_model_requests": 5,
    "project_id": None,
    "model": "gpt-4o-mini-2024-07-18",
    "batch": None,
}
COSTS_RESULT = {
    "object": "organization.costs.result",
    "amount": {"value": 0.06, "currency": "usd"},
    "line_item": "gpt-4o-mini-2024-07-18, input",
    "project_id": None,
}
USED = Item(DAY, "gpt-4o-mini-2024-07-18", 1000, 500, operations=MODEL_CALLS)
EMBEDDINGS_RESULT = {
    "object": "organization.usage.embeddings.result",
    "input_tokens": 16,
    "num_model_requests": 2,
    "model": "text-embedding-ada-002-v2",
}
EMBEDDED = Item(
    DAY, "text-embedding-ada-002-v2", 16, operations=frozenset({"embeddings"})
)
EMBEDDINGS_CSV = """\
start_time,end_time,start_time_iso,end_time_iso,num_model_requests,model,input_tokens
1730419200,1730505600,2024-11-01T00:00:00+00:00,2024-11-02T00:00:00+00:00,2,\
text-embedding-ada-002-v2,16
"""
USAGE_CSV = """\
start_time,end_time,start_time_iso,end_time_iso,project_id,num_model_requests,model,\
batch,input_tokens,output_tokens,input_cached_tokens
1730419200,1730505600,2024-11-01T00:00:00+00:00,2024-11-02T00:00:00+00:00,p,5,\
gpt-4o-mini-2024-07-18,,1000,500,800
1730505600,1730592000,2024-11-02T00:00:00+00:00,2024-11-03T00:00:00+00:00,,,,,,,
"""
COSTS_CSV = """\
start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,\
line_item,project_id,organization_id,organization_name
1730419200,1730505600,2024-11-01T00:00:00+00:00,2024-11-02T00:00:00+00:00,\
0.06,usd,,,org-1,Flowers
1730505600,1730592000,2024-11-02T00:00:00+00:00,2024-11-03T00:00:00+00:00,,,,,,
"""


def page(*results: Any, **more: Any) -> str:
    """Return a page in the format of OpenAI's API."""
    data = [{**BUCKET, "results": list(results)}]
    content = {"object": "page", "data": data, "has_more": False, "next_page": None}
    return json.dumps(content | more)


def tokens(number: str) -> bytes:
    """Return a page with a literal number of tokens."""
    return page(USAGE_RESULT).replace("1000", number).encode()


@pytest.fixture
def refusal(capsys: pytest.CaptureFixture[str]) -> Callable[[Path], str]:
    """Return what reconciles an export that is refused, and returns the message."""

    def reconcile(path: Path) -> str:
        assert main(["reconcile", str(path)]) == 2
        return capsys.readouterr().err

    return reconcile


@pytest.mark.parametrize(
    ("text", "item"),
    [
        (page(USAGE_RESULT), USED),
        (page(USAGE_RESULT | {"model": None}), USED._replace(model="")),
        (f"[{page(USAGE_RESULT)}]", USED),
        (page({**USAGE_RESULT, "object": None}), USED),
        (page(EMBEDDINGS_RESULT), EMBEDDED),
        (page({**EMBEDDINGS_RESULT, "object": None}), EMBEDDED),
        (page(COSTS_RESULT), Item(DAY, "gpt-4o-mini-2024-07-18", cost_usd=0.06)),
        (page(COSTS_RESULT | {"line_item": None}), Item(DAY, "", cost_usd=0.06)),
        (USAGE_CSV, USED),
        (EMBEDDINGS_CSV, EMBEDDED),
        (COSTS_CSV, Item(DAY, "", cost_usd=0.06)),
    ],
)
def test_exports_of_openai(tmp_path: Path, text: str, item: Item) -> None:
    """Usage and costs, from the API and from the web pages."""
    path = tmp_path / "export"
    path.write_text(text)
    export = read_export(path)
    assert export.items == (item,)
    assert export.provider == "openai"


def test_any_csv_file(tmp_path: Path) -> None:
    """Columns are found by name, in any order, after Excel's byte order mark."""
    path = tmp_path / "usage.csv"
    path.write_text(
        "\ufeffModel,Date,Completion_Tokens,prompt_tokens,cost,more\n"
        "rose-1,2024-11-01,5,70,$0.5,x,too,long\n"
        "rose-2,1730419200.5,,7\n"
        "rose-3,2024-11-01T23:30:00-05:00,,7,,\n"
    )
    export = read_export(path)
    assert export.items == (
        Item(DAY, "rose-1", 70, 5, 0.5),
        Item(DAY, "rose-2", 7),
        Item(date(2024, 11, 2), "rose-3", 7),
    )
    assert export.provider == ""


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "it is empty"),
        (b"\xef\xbb\xbf\n", "it is empty"),
        (b"a,b\n1,2\n", "wanted are date, model, input_tokens"),
        (b"date,model,cost\n", "it holds no usage"),
        (b"date,cost\nyesterday,1\n", "no usage export that is known"),
        (b"date,cost,amount_currency\n2024-11-01,1,eur\n", "in eur, not in US dollars"),
        (b"\xff\xfe", "it is not UTF-8"),
        (b"{", "no usage export that is known"),
        (b"[1]", "no usage export that is known"),
        (page(has_more=True).encode(), "one page of several"),
        (page(has_more=False, next_page="x").encode(), "of several \\('next_page'\\)"),
        (b"[" * 100_000, "no usage export that is known"),
        (tokens("Infinity"), "is no number of tokens"),
        (tokens("1e400"), "is no number of tokens"),
        (tokens("-5"), "is no number of tokens"),
        (tokens("5.5"), "is no number of tokens"),
        (tokens("1").replace(b"1730419200", b"9" * 20), "no usage export that is"),
        (b"date,cost,cost\n2026-11-01,1,2\n", "two of its columns"),
        (b"date,input_tokens\n2026-11-01,-3\n", "'-3' is no number of tokens"),
        (b"date,input_tokens,cost (EUR)\n2026-11-01,3,1\n", "column 'cost \\(eur\\)'"),
        (b"date,input_tokens,total_cost_eur\n2026-11-01,3,1\n", "in the column"),
        (b"date,input_tokens,total_cost\n2026-11-01,3,1\n", "in US dollars it is cost"),
        (b"date,input_tokens,cost_cents\n2026-11-01,3,1\n", "column 'cost_cents'"),
        (b"date,input_tokens,spend\n2026-11-01,3,1\n", "in the column 'spend'"),
        (
            page({"object": "organization.usage.images.result", "images": 2}).encode(),
            "holds organization.usage.images.result, which LangChain",
        ),
        (b"date,cost\n1926-11-01,1\n2026-11-01,1\n", "which is too long"),
        (page({"x": 1}).encode(), "no usage export that is known"),
        (page().encode(), "it holds no usage"),
        (
            page(COSTS_RESULT | {"amount": {"value": 1, "currency": "eur"}}).encode(),
            "in eur, not in US dollars",
        ),
    ],
)
def test_invalid_exports(
    tmp_path: Path, content: bytes, why: str, refusal: Callable[[Path], str]
) -> None:
    """The message has the reason."""
    path = tmp_path / "export"
    path.write_bytes(content)
    assert re.search(why, refusal(path))
    assert "No such file" in refusal(tmp_path / "missing")


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "NaN"])
def test_what_would_agree_with_everything_is_refused(
    tmp_path: Path, number: str, refusal: Callable[[Path], str]
) -> None:
    """A column of ``nan`` is no sum, and no gap."""
    for row in (f"2026-11-01,rose,{number},1,1", f"2026-11-01,rose,1,1,{number}"):
        path = tmp_path / "export.csv"
        path.write_text(f"date,model,input_tokens,output_tokens,cost\n{row}\n")
        assert "is no number of tokens or dollars" in refusal(path)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            "date,model,input_tokens,cost_eur\n2026-11-01,rose,1,2\n",
            "column 'cost_eur'",
        ),
        ("date,model,cost,currency\n2026-11-01,rose,2,EUR\n", "in EUR, not in US"),
        (
            '{"data":[{"starting_at": "2026-11-01", "results": [{"currency":"eur"}]}]}',
            "in eur, not in US",
        ),
    ],
)
def test_another_currency_is_refused(
    tmp_path: Path, text: str, why: str, refusal: Callable[[Path], str]
) -> None:
    """The currency may be in a column's name, in its value, or in JSON."""
    path = tmp_path / "export"
    path.write_text(text)
    assert why in refusal(path)


def test_anthropics_cost_report_is_read(tmp_path: Path) -> None:
    """Its amounts are cents, as decimal text."""
    path = tmp_path / "costs.json"
    path.write_text(
        '{"data": [{"starting_at": "2026-11-01T00:00:00Z", "results": '
        '[{"currency": "USD", "amount": "123.5", "model": "claude-haiku-4-5"}, '
        '{"currency": "USD", "amount": "10", "model": null}]}], "has_more": false}'
    )
    export = read_export(path)
    assert export.provider == "anthropic"
    assert [(one.model, one.cost_usd) for one in export.items] == [
        ("claude-haiku-4-5", 1.235),
        ("", 0.1),
    ]
    assert {str(one.day) for one in export.items} == {"2026-11-01"}


def test_anthropics_usage_report_is_read(tmp_path: Path) -> None:
    """Input includes tokens read from and written to a cache."""
    path = tmp_path / "usage.json"
    path.write_text(
        '{"data": [{"starting_at": "2026-11-01T00:00:00Z", "results": [{'
        '"uncached_input_tokens": 1500, "cache_creation": {"ephemeral_1h_input_tokens":'
        ' 1000, "ephemeral_5m_input_tokens": 500}, "cache_read_input_tokens": 200, '
        '"output_tokens": 500, "model": "claude-haiku-4-5"}]}], "has_more": false}'
    )
    export = read_export(path)
    day = date(2026, 11, 1)
    assert export.items == (Item(day, "claude-haiku-4-5", 3200, 500),)
    assert export.provider == "anthropic"


def test_what_an_export_counts() -> None:
    """An export may have completions, embeddings, both, or all calls."""
    assert Export((USED,)).operations == MODEL_CALLS
    both = MODEL_CALLS | {"embeddings"}
    assert Export((USED, EMBEDDED)).operations == both
    assert Export((USED, Item(DAY, "rose", 1))).operations is None
    days = Export((Item(date(2024, 11, 3), "rose", 1), USED)).days
    assert days == [DAY, date(2024, 11, 2), date(2024, 11, 3)]
