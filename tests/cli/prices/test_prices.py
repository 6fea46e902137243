from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from otel_callbacks.cli import main

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
    said = capsys.readouterr()
    assert said.out == ""
    assert "no known price for 'gpt4o-minii' at openai" in said.err
    assert "gpt-4o-mini" in said.err
    assert "--prices FILE" in said.err
    assert main(["prices", "§", "--json"]) == 1
    said = capsys.readouterr()
    assert json.loads(said.out) == []
    assert "Similar names: none" in said.err


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
    said = capsys.readouterr().err
    assert said.startswith("otel-callbacks prices: OTEL_CALLBACKS_PRICES=")


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
    assert " ...\n" in capsys.readouterr().out
    assert main(["prices", "claude-opus-4-6", "--provider", "anthropic"]) == 0
    text = capsys.readouterr().out
    assert "One-hour cache writes cost 2x the base input price." in text
    assert " ...\n" not in text
