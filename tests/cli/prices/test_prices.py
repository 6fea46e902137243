from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from genai_prices import __version__

from otel_callbacks._spend.price_file import PriceFile
from otel_callbacks.cli import main
from otel_callbacks.cli.prices import find, near, source, written

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


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


NOW = datetime(2026, 11, 21, tzinfo=UTC)
NONE = PriceFile()


def test_all_periods_with_the_one_in_force() -> None:
    """A model's former prices, and its current tiers."""
    (found,) = find("o3", "openai", NOW, NONE)
    when = [period.when for period in found.periods]
    assert when[:2] == ["else", "from 2025-06-10"]
    assert "service_tier flex, from 2026-10-12" in when
    assert [period.when for period in found.periods if period.now] == [when[1]]
    assert found.cost == Decimal("2.8")
    (before,) = find("o3", "openai", datetime(2025, 1, 1, tzinfo=UTC), NONE)
    assert before.cost == 14
    assert [period.when for period in before.periods if period.now] == ["else"]


def test_a_tier_inherits_the_standard_prices() -> None:
    """The batch list of this model has no price for cached tokens."""
    (found,) = find("gpt-4o-mini", "openai", NOW, NONE)
    batch = next(p for p in found.periods if p.when.startswith("processing batch"))
    assert written(batch.rates.prices["cache_read"]) == "0.075"
    assert written(batch.rates.prices["input"]) == "0.075"


def test_times_of_day() -> None:
    """The price depends on the time of day."""
    (found,) = find("deepseek-chat", "deepseek", NOW, NONE)
    assert [period.when for period in found.periods] == ["else", "00:30 to 16:30 UTC"]


def test_a_single_price_always_applies() -> None:
    """A model without periods has one."""
    (found,) = find("text-embedding-3-small", "openai", NOW, NONE)
    assert [(period.when, period.now) for period in found.periods] == [("always", True)]
    assert found.cost is None  # embeddings have no price for output


def test_all_providers_of_a_model() -> None:
    """Without a given provider, each that lists the model is found."""
    sellers = [found.provider for found in find("gpt-4o-mini", "", NOW, NONE)]
    assert {"openai", "github-copilot"} <= set(sellers)
    assert [found.provider for found in find("gpt-4o-mini", "azure", NOW, NONE)] == [
        "azure"
    ]
    assert find("gpt-4o-mini", "garden", NOW, NONE) == ()
    # Google sells Anthropic's models from its own list or from theirs.
    (google,) = find("claude-haiku-4-5", "gcp.vertex_ai", NOW, NONE)
    assert google.provider == "google"


def test_the_maker_is_listed_first() -> None:
    """Before resellers; an unknown model is no error."""
    now = datetime(2026, 11, 27, tzinfo=UTC)
    for model, maker in (("gpt-4o", "openai"), ("claude-opus-4-6", "anthropic")):
        found = find(model, "", now, PriceFile())
        assert found[0].provider == maker
    assert find("no-such-model", "", now, PriceFile()) == ()


def test_the_users_prices_come_first(tmp_path: Path) -> None:
    """Each has its date, server and provider."""
    path = tmp_path / "prices.toml"
    path.write_text(
        '[[prices]]\nmodel = "rose-*"\ninput = 1\noutput = 10\n'
        '[[prices]]\nmodel = "rose-1"\ninput = 2\noutput = 10\nfrom = 2026-01-01\n'
        '[[prices]]\nmodel = "rose-1"\ninput = 3\nserver = "a.example"\n'
        'provider = "garden"\n'
        '[[prices]]\nmodel = "tulip"\ninput = 3\n'
    )
    own = PriceFile.read(str(path))
    (found,) = find("rose-1", "", NOW, own)
    assert [(period.when, period.now) for period in found.periods] == [
        ("always", False),
        ("from 2026-01-01", True),
        ("at a.example, of garden", False),
    ]
    assert found.cost == 3
    assert found.source == "your file"
    path.write_text('[[prices]]\nmodel = "rose-1"\ninput = 2\nfrom = 2027-01-01\n')
    (later,) = find("rose-1", "", NOW, PriceFile.read(str(path)))
    assert later.cost is None


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
