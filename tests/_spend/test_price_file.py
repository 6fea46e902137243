from __future__ import annotations

import decimal
import json
import os
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from otel_callbacks import SettingError
from otel_callbacks._records import Usage
from otel_callbacks._spend.price_file import PriceFile

if TYPE_CHECKING:
    from pathlib import Path

    from otel_callbacks._spend.rates import Rates

MILLION = Usage(1_000_000, 0)
TODAY = datetime(2026, 11, 21, tzinfo=UTC)
PRICES = """
[[prices]]
model = "qwen-*"
input = 0.4
output = 1.2

[[prices]]
model = "qwen-plus"
input = 0.3

[[prices]]
model = "qwen-plus"
server = "llm.example"
input = 0.2

[[prices]]
model = "qwen-plus"
server = "llm.example:8000"
provider = "openai"
from = 2026-01-01
input = 0.1

[[servers]]
server = "gateway.example"
provider = "anthropic"

[[servers]]
server = "gateway.example:8000"
provider = "openai"
"""


A = "[[prices]]\nmodel = 'a'\n"
GATE = "[[servers]]\nserver = 'gate.example'\nprovider = "


def read(folder: Path, text: str, name: str = "prices.toml") -> PriceFile:
    """Write a file and read it."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return PriceFile.read(str(path))


def dollars(rates: Rates | None) -> Decimal | None:
    """Return what a million input tokens cost."""
    assert rates is not None
    return rates.cost(MILLION)


def test_no_file_has_no_prices() -> None:
    """Nothing is asked for by default."""
    own = PriceFile.read("")
    assert own.find("openai", "", 0, "gpt-4o-mini", TODAY) is None
    assert own.seller("openai", "llm.example", 80) == ("openai", "llm.example")


def test_the_most_exact_price_counts(tmp_path: Path) -> None:
    """An exact name before a pattern, a server before none."""
    own = read(tmp_path, PRICES)
    assert dollars(own.find("openai", "", 0, "qwen-max", TODAY)) == Decimal("0.4")
    assert dollars(own.find("openai", "", 0, "Qwen-Plus", TODAY)) == Decimal("0.3")
    at = own.find("x", "LLM.example", 8000, "qwen-plus", TODAY)
    assert dollars(at) == Decimal("0.2")
    at = own.find("openai", "llm.example", 8000, "qwen-plus", TODAY)
    assert dollars(at) == Decimal("0.1")
    assert own.find("openai", "", 0, "gpt-4o-mini", TODAY) is None


def test_a_price_holds_from_its_day_on(tmp_path: Path) -> None:
    """The day before has the price from before."""
    own = read(tmp_path, PRICES)
    args = "openai", "llm.example", 8000, "qwen-plus"
    before = own.find(*args, datetime(2025, 12, 31, 23, 59, tzinfo=UTC))
    assert dollars(before) == Decimal("0.2")
    first = own.find(*args, datetime(2026, 1, 1, tzinfo=UTC))
    assert dollars(first) == Decimal("0.1")
    own = read(tmp_path, f"{A}input = 1\n{A}input = 2\nfrom = 2026-11-21")
    assert dollars(own.find("", "", 0, "a", datetime(2026, 11, 20, tzinfo=UTC))) == 1
    assert dollars(own.find("", "", 0, "a", TODAY)) == 2


def test_whose_servers_are_behind_an_address(tmp_path: Path) -> None:
    """A gateway's models cost what its provider's do."""
    own = read(tmp_path, PRICES)
    assert own.seller("openai", "gateway.example", 443) == ("anthropic", "")
    assert own.seller("x", "Gateway.example", 8000) == ("openai", "")
    assert own.seller("openai", "", 0) == ("openai", "")
    for other in ("aster.example", "zinnia.example"):
        assert own.seller("openai", other, 443) == ("openai", other)


def test_json_has_the_same_values(tmp_path: Path) -> None:
    """A day is text there, a price is read to its last digit."""
    entry = {"model": "a", "input": 0.1, "output": 3, "from": "2026-01-01"}
    own = read(tmp_path, json.dumps({"prices": [entry]}), "prices.json")
    assert dollars(own.find("", "", 0, "a", TODAY)) == Decimal("0.1")
    assert own.find("", "", 0, "a", datetime(2025, 1, 1, tzinfo=UTC)) is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it is empty"),
        ("[[price]]\nmodel = 'a'", "it has tables 'prices' and 'servers'"),
        ("prices = 1", "'prices' must be a list"),
        ("prices = [1]", "entry 1 of 'prices': it must be a table"),
        ("[[prices]]\ninput = 1", "entry 1 of 'prices': it has no 'model'"),
        ("[[prices]]\nmodel = 'a'", "no price for 'input' or 'output'"),
        ("[[prices]]\nmodel = 1\ninput = 1", "'model' must be text"),
        ("[[prices]]\nmodel = ' '\ninput = 1", "'model' is ' '; with spaces around"),
        ("[[prices]]\nmodel = 'a '\ninput = 1", "'model' is 'a '; with spaces"),
        (f"{A}provider = ' openai'\ninput = 1", "'provider' is ' openai'; with spaces"),
        (f"{A}server = 'x:65536'\ninput = 1", "'server' is 'x:65536'; it must be a"),
        ("[[prices]]\nmodel = 'a'\ninput = -1", "'input' must be US dollars"),
        ("[[prices]]\nmodel = 'a'\ninput = nan", "'input' must be US dollars"),
        ("[[prices]]\nmodel = 'a'\ninput = true", "'input' must be US dollars"),
        ("[[prices]]\nmodel = 'a'\ninput = '1'", "'input' must be US dollars"),
        ("[[prices]]\nmodel = 'a'\ninputs = 1", "'inputs' is none of audio_input"),
        ("[[prices]]\nmodel = 'a'\nz = 1\ninputs = 1", "'inputs' is none of audio"),
        ("[[prices]]\nmodel = 'a'\ninput = 1\nfrom = 'may'", "'from' must be a day"),
        (
            "[[prices]]\nmodel = 'a'\ninput = 1\nfrom = 2026-01-01T00:00:00Z",
            "'from' must be a day",
        ),
        ("[[servers]]\nserver = 'a'", "entry 1 of 'servers': it needs 'server' and"),
        ("[[prices]\n", "line 1"),
        (
            f"{A}input = 1\n{A}input = 2",
            "entry 2 of 'prices' is for the same as entry 1",
        ),
        (f"{GATE}'a'\n{GATE}'b'", "entry 2 of 'servers' is for the same as entry 1"),
        (f"{A}input = 1e-900000", "'input' is 1.000e-900000; it must be US dollars"),
        (f"{A}input = 1e-1000000", "'input' is 1.000e-1000000; it must be US dollars"),
        (f"{A}input = 1e300", "'input' is 1.000e+300; it must be US dollars"),
        (f"{A}output = 1000000.0", "'output' is 1.000e+6; it must be US dollars"),
        (f"{A}output = 0.0000000000001", "with at most 12 places"),
        (f"{A}input = 1{'0' * 5000}", "digits"),
        (f"{A}input = 0.{'0' * 5000}1", "0.0000000000... has more than 40 digits"),
        (f"{A}input = 1e99999999999999999999", "'input' must be US dollars"),
        (f"{A}input = -0.0", "'input' must be US dollars"),
        (
            f"{A}input = 1\nserver = 'https://llm.example/v1'",
            "'server' is 'https://llm",
        ),
        (f"{A}input = 1\nserver = 'llm.example/v1'", "without a path"),
        (f"{A}input = 1\nserver = 'llm.example:http'", "it must be a host"),
        (f"{A}input = 1\nserver = 'llm.example:'", "it must be a host"),
        (f"{A}input = 1\nserver = 'llm.example:{'9' * 5_000}'", "it must be a host"),
        (f"{A}input = 1\nserver = '*.example'", "it must be a host"),
        (f"{A}input = 1\nserver = 'llm example'", "it must be a host"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, text: str, why: str) -> None:
    """By the variable, the path, the entry, and what is wrong with it."""
    with pytest.raises(SettingError) as caught:
        read(tmp_path, text)
    assert str(caught.value).startswith("OTEL_CALLBACKS_PRICES=")
    assert str(tmp_path) in str(caught.value)
    assert why in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("prices.json", b"{", "line 1"),
        ("prices.json", b"[]", "it has tables"),
        ("prices.json", b'{"prices": [], "prices": []}', "'prices' stands twice"),
        (
            "prices.json",
            b'{"prices": [{"model": "a", "model": "b"}]}',
            "'model' stands",
        ),
        ("prices.json", b'{"prices": [{"model": "a", "input": NaN}]}', "US dollars"),
        ("prices.yaml", b"a: 1", "must end in .toml or .json"),
        ("prices.csv", b"[]", "must end in .toml or .json"),
        ("prices.json", b'{"prices": [{"a": 1, "b": 2, "b": 3}]}', "'b' stands twice"),
        ("prices.toml", b"\xff", "it is not UTF-8"),
        ("prices.toml", b"#" * 1_000_001, "it is larger than 1,000,000 bytes"),
        ("prices.json", b" " * 9_000_000, "it is larger than 1,000,000 bytes"),
        (None, b"", "No such file"),
    ],
)
def test_what_is_no_file_of_prices(
    tmp_path: Path, name: str | None, content: bytes, why: str
) -> None:
    """Another format, bytes, or nothing at all."""
    path: Any = tmp_path / (name or "missing.toml")
    if name:
        path.write_bytes(content)
    with pytest.raises(SettingError, match=why):
        PriceFile.read(str(path))


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "zero byte"])
def test_what_is_no_file_at_all(tmp_path: Path, kind: str) -> None:
    """Nobody waits for a pipe's writer, or reads a device to its end."""
    path = tmp_path / "prices.toml"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    name = f"{path}\0" if kind == "zero byte" else str(path)
    with pytest.raises(SettingError, match=r"it is no file|it cannot be read"):
        PriceFile.read(name)


@pytest.mark.parametrize("name", ["prices.toml", "prices.json"])
def test_a_byte_order_mark_is_read_over(tmp_path: Path, name: str) -> None:
    """Editors on Windows begin a file with one."""
    text = (
        '{"prices": [{"model": "a", "input": 2}]}'
        if "json" in name
        else f"{A}input = 2"
    )
    own = read(tmp_path, f"\ufeff{text}", name)
    assert dollars(own.find("", "", 0, "a", TODAY)) == 2


@pytest.mark.parametrize("server", ["llm:65535", "2001:db8::abcd", "[::1]", "llm"])
def test_a_server_is_a_host_with_or_without_a_port(tmp_path: Path, server: str) -> None:
    """The last port there is, and an IPv6 address, are read."""
    own = read(tmp_path, f"{A}input = 2\nserver = '{server}'")
    address = server.removesuffix(":65535")
    assert dollars(own.find("", address, 65535, "a", TODAY)) == 2
    assert own.find("", "elsewhere", 65535, "a", TODAY) is None


@pytest.mark.parametrize("zero", ["0", "0.0", "0.0000000000000", "0e-900000", "0e9"])
def test_nothing_is_a_price(tmp_path: Path, zero: str) -> None:
    """However many places it has."""
    rates = read(tmp_path, f"{A}input = {zero}\noutput = 3").find("", "", 0, "a", TODAY)
    assert dollars(rates) == 0


def test_a_file_may_have_a_million_bytes(tmp_path: Path) -> None:
    """The limit itself is read."""
    text = f"{A}input = 2\n#"
    own = read(tmp_path, text.ljust(1_000_000, "#"))
    assert dollars(own.find("", "", 0, "a", TODAY)) == 2


def test_the_smallest_and_the_largest_price_are_exact(tmp_path: Path) -> None:
    """A price costs what it says, to the last digit, and an IPv6 server is one."""
    text = f"{A}input = 999999.999999999999\noutput = 0.000000000001\nserver = '::1'"
    rates = read(tmp_path, text).find("", "::1", 0, "a", TODAY)
    assert rates is not None
    assert rates.cost(Usage(1, 1)) == 1  # to the eighteenth place
    assert rates.cost(Usage(0, 0)) == 0


@pytest.mark.parametrize("trap", [decimal.Inexact, decimal.FloatOperation])
def test_the_apps_own_decimal_context_refuses_no_file(
    tmp_path: Path, trap: Any
) -> None:
    """A price is read as it is written, whatever the app has set for its own sums."""
    with decimal.localcontext(prec=3, traps=[trap]):
        own = read(tmp_path, f"{A}input = 0.123456789")
        assert dollars(own.find("", "", 0, "a", TODAY)) == Decimal("0.123456789")
