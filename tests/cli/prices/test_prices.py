from __future__ import annotations

import json
import sys
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from genai_prices import __version__

from otel_callbacks.cli import main
from otel_callbacks.cli.prices import near, source, written

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_known_prices_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """The output has the periods, a worked example and the source."""
    arguments = ["prices", "o3", "--provider", "openai", "--at", "2025-01-01"]
    assert main(arguments) == 0
    text = capsys.readouterr().out
    lines = [line.split() for line in text.splitlines()]
    assert ["from", "2025-06-10", "2", "8", "0.5"] in lines
    assert "1,000,000 tokens in and 100,000 out, on 2025-01-01 00:00 UTC: $14" in text
    assert "genai-prices" in text
    assert max(map(len, text.splitlines())) <= 100


def test_free_and_unpriced_models(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A price of 0 gives a cost of $0; a missing price gives no cost."""
    path = tmp_path / "prices.toml"
    path.write_text('[[prices]]\nmodel = "rose-1"\ninput = 0\noutput = 0\n')
    assert main(["prices", "rose-1", "--prices", str(path)]) == 0
    assert "UTC: $0\n" in capsys.readouterr().out
    for model, provider in (
        ("gemma-3", "google"),
        ("text-embedding-3-small", "openai"),
    ):
        assert main(["prices", model, "--provider", provider]) == 0
        assert "UTC: no price" in capsys.readouterr().out


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Amounts are text, so that they stay exact."""
    assert main(["prices", "gpt-4o-mini", "--provider", "openai", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["example_usd"] == "0.21"
    (now,) = [period for period in found["periods"] if period["now"]]
    assert now["usd_per_million"]["input"] == [{"above": 0, "usd": "0.15"}]


def test_an_unknown_model(capsys: pytest.CaptureFixture[str]) -> None:
    """It names similar models and a remedy."""
    assert main(["prices", "gpt4o-minii", "--provider", "openai"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "no known price for 'gpt4o-minii' at openai" in printed.err
    assert "gpt-4o-mini" in printed.err
    assert "--prices FILE" in printed.err
    assert main(["prices", "§", "--json"]) == 1
    printed = capsys.readouterr()
    assert json.loads(printed.out) == []
    assert "Similar names: none" in printed.err


def test_the_users_prices(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An option or the environment names the file; an invalid file is refused."""
    path = tmp_path / "prices.toml"
    path.write_text('[[prices]]\nmodel = "rose-1"\ninput = 1\noutput = 10\n')
    assert main(["prices", "rose-1", "--prices", str(path)]) == 0
    assert "your file" in capsys.readouterr().out
    monkeypatch.setenv("OTEL_CALLBACKS_PRICES", str(path))
    assert main(["prices", "rose-1", "--json"]) == 0
    capsys.readouterr()
    path.write_text("roses")
    assert main(["prices", "rose-1"]) == 2
    message = capsys.readouterr().err
    assert message.startswith("otel-callbacks prices: OTEL_CALLBACKS_PRICES=")


def test_it_works_without_rich(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command needs no extra."""
    monkeypatch.setitem(sys.modules, "rich", None)
    assert main(["prices", "gpt-4o-mini", "--provider", "openai"]) == 0
    assert "$0.21" in capsys.readouterr().out


def test_long_remarks_are_cut(capsys: pytest.CaptureFixture[str]) -> None:
    """A long remark is cut; a short one is printed whole."""
    assert main(["prices", "gpt-4o-mini", "--provider", "openai"]) == 0
    assert "...\n" in capsys.readouterr().out
    assert main(["prices", "claude-opus-4-6", "--provider", "anthropic"]) == 0
    text = capsys.readouterr().out
    assert "One-hour cache writes cost 2x the base input price." in text
    assert "...\n" not in text


@pytest.fixture
def find(capsys: pytest.CaptureFixture[str]) -> Callable[..., list[Any]]:
    """Return what asks for a model's prices on a day, and returns the JSON."""

    def find(model: str, *options: str, at: str = "2026-11-21") -> list[Any]:
        code = main(["prices", model, "--at", at, "--json", *options])
        found: list[Any] = json.loads(capsys.readouterr().out)
        assert code == (0 if found else 1)
        return found

    return find


def when(found: Any, *, now: bool = False) -> list[str]:
    """Return the periods of a price, or the one in force."""
    return [period["when"] for period in found["periods"] if period["now"] or not now]


def test_all_periods_with_the_one_in_force(find: Any) -> None:
    """A model's former prices, and its current tiers."""
    (found,) = find("o3", "--provider", "openai")
    assert when(found)[:2] == ["else", "from 2025-06-10"]
    assert "service_tier flex, from 2026-10-12" in when(found)
    assert when(found, now=True) == ["from 2025-06-10"]
    assert found["example_usd"] == "2.8"
    (before,) = find("o3", "--provider", "openai", at="2025-01-01")
    assert before["example_usd"] == "14"
    assert when(before, now=True) == ["else"]


def test_a_tier_inherits_the_standard_prices(find: Any) -> None:
    """The batch list of this model has no price for cached tokens."""
    (found,) = find("gpt-4o-mini", "--provider", "openai")
    (batch,) = [
        one for one in found["periods"] if one["when"].startswith("processing batch")
    ]
    prices = batch["usd_per_million"]
    assert prices["cache_read"] == prices["input"] == [{"above": 0, "usd": "0.075"}]


def test_times_of_day(find: Any) -> None:
    """The price depends on the time of day."""
    (found,) = find("deepseek-chat", "--provider", "deepseek")
    assert when(found) == ["else", "00:30 to 16:30 UTC"]


def test_a_single_price_always_applies(find: Any) -> None:
    """A model without periods has one."""
    (found,) = find("text-embedding-3-small", "--provider", "openai")
    assert when(found) == when(found, now=True) == ["always"]
    assert found["example_usd"] is None  # embeddings have no price for output


def test_all_providers_of_a_model(find: Any) -> None:
    """Without a given provider, each that lists the model is found."""
    sellers = [found["provider"] for found in find("gpt-4o-mini")]
    assert {"openai", "github-copilot"} <= set(sellers)
    (azure,) = find("gpt-4o-mini", "--provider", "azure")
    assert azure["provider"] == "azure"
    assert find("gpt-4o-mini", "--provider", "garden") == []
    # Google sells Anthropic's models from its own list or from theirs.
    (google,) = find("claude-haiku-4-5", "--provider", "gcp.vertex_ai")
    assert google["provider"] == "google"


def test_the_maker_is_listed_first(find: Any) -> None:
    """Before resellers; an unknown model is no error."""
    for model, maker in (("gpt-4o", "openai"), ("claude-opus-4-6", "anthropic")):
        assert find(model, at="2026-11-27")[0]["provider"] == maker
    assert find("no-such-model") == []


def test_the_users_prices_come_first(tmp_path: Path, find: Any) -> None:
    """Each has its date, server and provider."""
    path = tmp_path / "prices.toml"
    path.write_text(
        '[[prices]]\nmodel = "rose-*"\ninput = 1\noutput = 10\n'
        '[[prices]]\nmodel = "rose-1"\ninput = 2\noutput = 10\nfrom = 2026-01-01\n'
        '[[prices]]\nmodel = "rose-1"\ninput = 3\nserver = "a.example"\n'
        'provider = "garden"\n'
        '[[prices]]\nmodel = "tulip"\ninput = 3\n'
    )
    (found,) = find("rose-1", "--prices", str(path))
    assert when(found) == ["always", "from 2026-01-01", "at a.example, of garden"]
    assert when(found, now=True) == ["from 2026-01-01"]
    assert found["example_usd"] == "3"
    assert found["source"] == "your file"
    path.write_text('[[prices]]\nmodel = "rose-1"\ninput = 2\nfrom = 2027-01-01\n')
    (later,) = find("rose-1", "--prices", str(path))
    assert later["example_usd"] is None


def test_similar_names() -> None:
    """A misspelt name finds the right one."""
    assert "gpt-4o-mini" in near("gpt4o-minii")
    assert near("§") == ()


def test_the_source_has_a_date() -> None:
    """It is the date of the newest price."""
    assert source().startswith(f"genai-prices {__version__}, newest price of 20")


def test_prices_are_written_in_full() -> None:
    """Without an exponent, and with the threshold of each tier."""
    assert written(None) == ""
    assert written(((0, Decimal("1E+1")), (200_000, Decimal("0.50")))) == (
        "10\n0.5 above 200,000"
    )
