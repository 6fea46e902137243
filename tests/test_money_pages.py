"""What the pages on money say is so: examples run, numbers are those of the code."""

from __future__ import annotations

import json
import re
import shlex
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from langchain_core.runnables import RunnableLambda
from test_money_holds import KINDS

# A page may state a number of the code that no function shows.
from otel_callbacks._data import data_beside
from otel_callbacks._readers import estimate
from otel_callbacks._spend import accounts, budgets, price_file
from otel_callbacks._spend.price_file import PriceFile
from otel_callbacks.cli import main
from otel_callbacks.testing import FakeChatModel

if TYPE_CHECKING:
    from collections.abc import Callable

_DOCS: Final = Path(__file__).parents[1] / "docs"
_COUNTS: Final[dict[str, dict[str, Any]]] = json.loads(
    (Path(__file__).parent / "data" / "token_counts.json").read_text("utf-8")
)
_ACCOUNTING: Final = (_DOCS / "accounting.md").read_text("utf-8")
_PRICES: Final = (_DOCS / "prices.md").read_text("utf-8")
_BLOCKS: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def _blocks(page: str, language: str) -> list[str]:
    """Return the blocks of a page in one language."""
    return [text for name, text in _BLOCKS.findall(page) if name == language]


def _model(tokens_in: int, tokens_out: int) -> FakeChatModel:
    """Return a model of the price list that uses this much."""
    usage = {"input_tokens": tokens_in, "output_tokens": tokens_out}
    usage["total_tokens"] = tokens_in + tokens_out
    return FakeChatModel(usage=usage, provider="openai", model_name="gpt-4o-mini")


def _run(source: str, **names: Any) -> None:
    """Run an example as it stands on its page."""
    exec(compile(source, "accounting.md", "exec"), names)  # noqa: S102 -- our own page


def test_the_first_example_prints_what_stands_beside_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The example prints the tokens and dollars of its comment."""
    example = _blocks(_ACCOUNTING, "python")[0]
    models = [_model(137, 32), _model(137, 32), _model(138, 32)]
    chain: Any = RunnableLambda(lambda text: [model.invoke(text) for model in models])
    _run(example, chain=chain)
    lines = capsys.readouterr().out.splitlines()
    (documented,) = re.findall(r"print\(usage\)  # (.+)", example)
    assert lines[0] == documented
    assert any(line.startswith("508 ") for line in lines), lines


def test_the_example_of_a_budget_refuses(capsys: pytest.CaptureFixture[str]) -> None:
    """The refusal has the page's limit, the spent and the requested amount."""
    agent: Any = RunnableLambda(
        lambda text: [_model(7, 3).invoke(text) for _ in range(30)]
    )
    example = _blocks(_ACCOUNTING, "python")[2]
    _run(example, agent=agent, question="Roses?")
    assert capsys.readouterr().out == "calls 20 20 1\n"


def test_the_price_file_of_the_page_is_read(tmp_path: Path) -> None:
    """Each line of the price file has the meaning of its comment."""
    path = tmp_path / "prices.toml"
    path.write_text(_blocks(_PRICES, "toml")[0], "utf-8")
    file = PriceFile.read(str(path))
    day = datetime(2026, 1, 1, tzinfo=UTC)
    call = "openai", "llm.example", 443, "qwen-plus"
    rates = file.find(*call, day)
    assert rates is not None
    assert {kind: tiers[0] for kind, tiers in rates.prices.items()} == {
        kind: (0, Decimal(price))
        for kind, price in (("input", "0.4"), ("output", "1.2"), ("cache_read", "0.04"))
    }
    assert file.find(*call, datetime(2025, 12, 31, 23, tzinfo=UTC)) is None
    assert file.seller("other", "gateway.example", 443) == ("openai", "")


def test_the_commands_of_the_page_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page's commands run unchanged with the page's file."""
    monkeypatch.chdir(tmp_path)
    Path("prices.toml").write_text(
        _blocks(_PRICES, "toml")[0].replace('server = "llm.example"', ""), "utf-8"
    )
    lines = _blocks(_PRICES, "sh")[0].splitlines()
    assert len(lines) == 2
    for line in lines:
        assert main(shlex.split(line)[1:]) == 0
        assert "$ per million tokens" in capsys.readouterr().out
    assert main(["prices", "no-such-rose"]) == 1


# A page may say what no function shows.
_NUMBERS: Final[dict[str, Callable[[], float]]] = {
    r"An image counts ([\d,]+) tokens": lambda: estimate.IMAGE,
    r"\((\d+) with OpenAI's `detail: low`": lambda: estimate.SMALL_IMAGE,
    r"up to ([\d,]+) for small OpenAI models": lambda: max(
        most for most, _ in data_beside(estimate.__file__)["images"].values()
    ),
    r"a second of audio (\d+)": lambda: estimate.SECOND_OF_AUDIO,
    r"of video (\d+)": lambda: estimate.SECOND_OF_VIDEO,
    r"a page of PDF ([\d,]+)": lambda: estimate.PAGE,
    r"holds for (\d+) kinds of text": lambda: len(_COUNTS),
    r"the largest of the last (\d+) counts": lambda: budgets._KEPT,
    r"model's last (\d+) answers": lambda: budgets._KEPT,
    r"Before the first answer, ([\d,]+) tokens": lambda: budgets.ANSWER,
    r"a record of each of the first ([\d,]+)": lambda: accounts._KEPT,
}


@pytest.mark.parametrize("pattern", _NUMBERS)
def test_a_number_of_the_page_is_the_one_of_the_code(pattern: str) -> None:
    """The page's numbers of reservations and limits equal the code's."""
    (documented,) = re.findall(pattern, " ".join(_ACCOUNTING.split()))
    assert int(documented.replace(",", "")) == _NUMBERS[pattern]()


def test_numbers_in_words() -> None:
    """Numbers that the page writes as words equal the code's."""
    words = {"three": 3, "four": 4, "sixteen": 16, "a tenth": 0.1}
    for pattern, number in (
        (r"After (\w+) answers of the same model", budgets._ENOUGH),
        (r"last 20 counts plus (a tenth) is", round(budgets._MARGIN - 1, 6)),
        (r"kinds of text and (\w+) tokenizers", len(next(iter(_COUNTS.values()))) - 1),
        (r"generates (\w+) kinds of traffic", len(KINDS)),
    ):
        (documented,) = re.findall(pattern, " ".join(_ACCOUNTING.split()))
        assert words[documented] == number


def test_limits_of_a_price_file() -> None:
    """The page's limits of a price file equal the code's."""
    text = " ".join(_PRICES.split())
    assert f"at most {price_file._MOST_BYTES:,} bytes" in text
    assert f"more than {price_file._PLACES} decimal places" in text
    assert 10**price_file._DIGITS_BEFORE == 1_000_000
    assert "a price of a million dollars or more" in text
