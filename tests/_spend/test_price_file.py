from __future__ import annotations

import decimal
import json
import os
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from reporting import Reporter

from otel_callbacks import SettingError, Settings, track_usage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TODAY = datetime.now(UTC).date()
TOMORROW = TODAY + timedelta(days=1)
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


class Priced:
    """A handler with a file of prices."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter

    def cost(
        self,
        model: str,
        provider: str = "",
        server: str = "",
        *,
        inputs: int = 1_000_000,
        outputs: int = 0,
    ) -> Decimal | None:
        """Return what a call of a model costs; None if its price is not known."""
        reported = {
            "input_tokens": inputs,
            "output_tokens": outputs,
            "total_tokens": inputs + outputs,
        }
        message = AIMessage("x", usage_metadata=reported)
        result = LLMResult(generations=[[ChatGeneration(message=message)]])
        arguments = {"base_url": f"http://{server}"} if server else {}
        with track_usage() as usage:
            self._reporter.call(
                [],
                result,
                params={"model": model},
                metadata={"ls_provider": provider},
                serialized={"kwargs": arguments},
            )
        return usage.calls[0].cost


@contextmanager
def priced(path: str) -> Iterator[Priced]:
    """Return what the calls of a handler with a file cost."""
    with Reporter(Settings(strict=True, prices=path)) as reporter:
        yield Priced(reporter)


@contextmanager
def read(folder: Path, text: str, name: str = "prices.toml") -> Iterator[Priced]:
    """Write a file and read it."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    with priced(str(path)) as own:
        yield own


def refusal(path: str) -> str:
    """Return why a file is refused."""
    with pytest.raises(SettingError) as caught, priced(path):
        pass
    return str(caught.value)


def test_no_file_has_no_prices() -> None:
    """By default only the list of the package counts."""
    with priced("") as own:
        assert own.cost("qwen-rose", "openai") is None
        assert own.cost("gpt-4o-mini", "openai") == Decimal("0.15")


def test_the_most_exact_price_counts(tmp_path: Path) -> None:
    """An exact name before a pattern, a server before none."""
    with read(tmp_path, PRICES) as own:
        assert own.cost("qwen-max", "openai") == Decimal("0.4")
        assert own.cost("Qwen-Plus", "openai") == Decimal("0.3")
        assert own.cost("qwen-plus", "x", "LLM.example:8000") == Decimal("0.2")
        assert own.cost("qwen-plus", "openai", "llm.example:8000") == Decimal("0.1")
        assert own.cost("rose-1", "openai") is None


def test_a_price_holds_from_its_day_on(tmp_path: Path) -> None:
    """The day before has the price from before."""
    text = (
        f"{A}input = 1\n{A}input = 2\nfrom = {TODAY - timedelta(days=9)}\n"
        f"{A}input = 3\nfrom = {TODAY}\n{A}input = 4\nfrom = {TOMORROW}\n"
        f"[[prices]]\nmodel = 'b'\ninput = 1\nfrom = {TOMORROW}"
    )
    with read(tmp_path, text) as own:
        # A test that runs at midnight may see tomorrow.
        assert own.cost("a") in {3, 4}
        assert own.cost("b") in {None, 1}


def test_whose_servers_are_behind_an_address(tmp_path: Path) -> None:
    """A gateway's models cost what its provider's do."""
    with read(tmp_path, PRICES) as own:
        claude, gpt = Decimal(1), Decimal("0.15")
        assert own.cost("claude-haiku-4-5", "openai", "gateway.example") == claude
        assert own.cost("gpt-4o-mini", "x", "Gateway.example:8000") == gpt
        assert own.cost("gpt-4o-mini", "openai") == gpt
        for other in ("aster.example", "zinnia.example"):
            assert own.cost("claude-haiku-4-5", "openai", other) is None


def test_json_has_the_same_values(tmp_path: Path) -> None:
    """A day is text there, a price is read to its last digit."""
    entries = [
        {"model": "a", "input": 0.1, "output": 3, "from": "2026-01-01"},
        {"model": "b", "input": 0.1, "from": str(TODAY + timedelta(days=9))},
    ]
    with read(tmp_path, json.dumps({"prices": entries}), "prices.json") as own:
        assert own.cost("a") == Decimal("0.1")
        assert own.cost("b") is None


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
    path = tmp_path / "prices.toml"
    path.write_text(text, encoding="utf-8")
    message = refusal(str(path))
    assert message.startswith("OTEL_CALLBACKS_PRICES=")
    assert str(tmp_path) in message
    assert why in message


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
    assert why in refusal(str(path))


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
    message = refusal(name)
    assert "it is no file" in message or "it cannot be read" in message


@pytest.mark.parametrize("name", ["prices.toml", "prices.json"])
def test_a_byte_order_mark_is_read_over(tmp_path: Path, name: str) -> None:
    """Editors on Windows begin a file with one."""
    text = (
        '{"prices": [{"model": "a", "input": 2}]}'
        if "json" in name
        else f"{A}input = 2"
    )
    with read(tmp_path, f"\ufeff{text}", name) as own:
        assert own.cost("a") == 2


@pytest.mark.parametrize("server", ["llm:65535", "2001:db8::abcd", "[::1]", "llm"])
def test_a_server_is_a_host_with_or_without_a_port(tmp_path: Path, server: str) -> None:
    """The last port there is, and an IPv6 address, are read."""
    host = server.removesuffix(":65535")
    address = f"[{host}]" if host.startswith("2001") else host
    with read(tmp_path, f"{A}input = 2\nserver = '{server}'") as own:
        assert own.cost("a", server=f"{address}:65535") == 2
        assert own.cost("a", server="elsewhere:65535") is None


@pytest.mark.parametrize("zero", ["0", "0.0", "0.0000000000000", "0e-900000", "0e9"])
def test_nothing_is_a_price(tmp_path: Path, zero: str) -> None:
    """However many places it has."""
    with read(tmp_path, f"{A}input = {zero}\noutput = 3") as own:
        assert own.cost("a") == 0


def test_a_file_may_have_a_million_bytes(tmp_path: Path) -> None:
    """The limit itself is read."""
    text = f"{A}input = 2\n#"
    with read(tmp_path, text.ljust(1_000_000, "#")) as own:
        assert own.cost("a") == 2


def test_the_smallest_and_the_largest_price_are_exact(tmp_path: Path) -> None:
    """A price costs what it says, to the last digit, and an IPv6 server is one."""
    text = f"{A}input = 999999.999999999999\noutput = 0.000000000001\nserver = '::1'"
    with read(tmp_path, text) as own:
        # To the eighteenth place.
        assert own.cost("a", server="[::1]:1", inputs=1, outputs=1) == 1
        assert own.cost("a", server="[::1]:1", inputs=0, outputs=0) == 0


@pytest.mark.parametrize("trap", [decimal.Inexact, decimal.FloatOperation])
def test_the_apps_own_decimal_context_refuses_no_file(
    tmp_path: Path, trap: Any
) -> None:
    """A price is read as it is written, whatever the app has set for its own sums."""
    with (
        decimal.localcontext(prec=3, traps=[trap]),
        read(tmp_path, f"{A}input = 0.123456789") as own,
    ):
        assert own.cost("a") == Decimal("0.123456789")
