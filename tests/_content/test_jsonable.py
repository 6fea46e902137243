"""Any value of an app is converted to JSON types, without secrets."""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import enum
import hashlib
import re
import uuid
from decimal import Decimal
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.documents import Document
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.messages import HumanMessage
from pydantic import BaseModel, SecretStr

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Content

INPUT = "gen_ai.input.messages"
RESULT = "gen_ai.tool.call.result"
MORE = "…"


class Colour(enum.Enum):
    """A colour of roses."""

    RED = "red"


class Size(enum.IntEnum):
    """A size of bunches."""

    BIG = 20


class Word(str):
    """A string of an app's own class."""

    __slots__ = ()

    def __str__(self) -> str:
        return "something else"


class Order(BaseModel):
    """An order, with the key that it was made with."""

    flower: str
    key: SecretStr


@dataclasses.dataclass
class Bunch:
    """A bunch of flowers."""

    flower: str
    stems: int


class Client:
    """Holds its key."""

    def __repr__(self) -> str:
        return "Client(api_key='sk-secret')"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("rose", "rose"),
        (Word("rose"), "rose"),
        (None, None),
        (True, True),
        (3, 3),
        (2**63 - 1, 2**63 - 1),
        (2**63, "an integer of 64 bits"),
        (2.5, 2.5),
        (float("inf"), "inf"),
        (float("nan"), "nan"),
        (Colour.RED, "red"),
        (Size.BIG, 20),
        (Decimal("1.50"), "1.50"),
        (dt.date(2026, 8, 3), "2026-08-03"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (PurePosixPath("a/b"), "a/b"),
        ((1, [2]), [1, [2]]),
        ({3}, [3]),
        ({1: 2, None: 3, (4,): 5}, {"1": 2, "None": 3, "<tuple>": 5}),
        (MappingProxyType({"a": 1}), {"a": 1}),
        (Bunch("rose", 3), {"flower": "rose", "stems": 3}),
        (
            Order(flower="rose", key=SecretStr("s")),
            {"flower": "rose", "key": "<SecretStr>"},
        ),
        (Client(), "<Client>"),
        (Client, "<type>"),
        (HumanMessage("Roses?"), {"type": "human", "content": "Roses?"}),
        (
            Document("Roses.", metadata={"page": 1}),
            {"content": "Roses.", "metadata": {"page": 1}},
        ),
        (FakeListChatModel(responses=["sk-secret"]), "<FakeListChatModel>"),
    ],
    ids=str,
)
def test_value_becomes_json(value: Any, expected: Any, content: Content) -> None:
    """Data is converted; an object that may hold a key is named by its class alone."""
    found = content.tool({"value": value})[RESULT]["value"]
    assert found == expected
    assert type(found) is type(expected)


def test_bytes_become_a_note(content: Content) -> None:
    """Binary data become their size and digest."""
    found = content.tool({"value": b"abc"})[RESULT]["value"]
    assert found.startswith("[binary data, 3 bytes, sha256 ba78")


def test_credentials_are_left_out(content: Content) -> None:
    """Strings under names of credentials are redacted; a schema of that name is not."""
    headers = {"Authorization": "Bearer x", "X-Api-Key": "y", "accept": "json"}
    output = {"headers": headers, "api_key": {"type": "string"}}
    assert content.tool(output)[RESULT] == {
        "headers": {
            "Authorization": "REDACTED",
            "X-Api-Key": "REDACTED",
            "accept": "json",
        },
        "api_key": {"type": "string"},
    }


def test_work_is_bounded(content_of: Callable[..., Content]) -> None:
    """With a limit of 1,024 bytes 170 values are read; the rest becomes a mark."""
    content = content_of(content_limit=1_024)
    assert content.tool(range(200))[RESULT]["content"] == [*range(170), MORE]
    some = {"a": [1] * 165, **dict.fromkeys("bcde", 1)}
    assert content.tool({**some, "f": 1, "g": 1})[RESULT] == {**some, MORE: MORE}
    assert content.tool({"a": [1] * 168, "b": [2]})[RESULT]["b"] == MORE


def test_depth_is_bounded(content: Content) -> None:
    """Of a cyclic value, 24 levels are read."""
    endless: list[Any] = []
    endless.append(endless)
    expected: Any = MORE
    for _ in range(24):
        expected = [expected]
    assert content.tool(endless)[RESULT] == {"content": expected}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": 1}', {"a": 1}),
        ('{"a": ', '{"a": '),
        ("[" * 100_000, "[" * 100_000),
        (7, 7),
    ],
    ids=["json", "unfinished", "too deep", "no string"],
)
def test_json_in_a_string_is_parsed(
    text: Any, expected: Any, content_of: Callable[..., Content]
) -> None:
    """A string that cannot be parsed is unchanged."""
    content = content_of(content_limit=1_000_000)
    assert _arguments(content, text) == expected


def test_a_long_string_is_not_parsed(content: Content) -> None:
    """Above a million characters it is no tool's arguments."""
    assert _arguments(content, f"[{'1,' * 500_000}1]")[:3] == [1, 1, 1]
    assert _arguments(content, f"[{'1,' * 600_000}1]").startswith("[1,1,1")


def _arguments(content: Content, text: Any) -> Any:
    """Return the arguments of a tool call."""
    call = {"name": "price", "args": text}
    found = content.call([{"role": "assistant", "tool_calls": [call]}])
    return found[INPUT][0]["parts"][0]["arguments"]


RAW = b"".join(hashlib.sha256(bytes([n])).digest() for n in range(94))[:3_000]
SHA = hashlib.sha256(RAW).hexdigest()
PLAIN = base64.b64encode(RAW).decode()
URL_SAFE = base64.urlsafe_b64encode(RAW).decode()
WRAPPED = base64.encodebytes(RAW).decode()
EXPECTED = {"size": 3_000, "sha256": SHA}


@pytest.mark.parametrize(
    "data",
    [RAW, bytearray(RAW), PLAIN, PLAIN.rstrip("="), URL_SAFE, WRAPPED],
    ids=["bytes", "bytearray", "base64", "unpadded", "url-safe", "wrapped"],
)
def test_digest_is_of_decoded_data(data: str | bytes, content: Content) -> None:
    """Size and digest are those of the bytes, in any encoding."""
    assert _digest(content, data) == EXPECTED


def _digest(content: Content, data: str | bytes) -> dict[str, Any]:
    """Return the size and the digest of an image."""
    blocks = [{"type": "image", "data": data}]
    found = content.call([{"role": "user", "content": blocks}])
    (part,) = found[INPUT][0]["parts"]
    return {key: part[key] for key in EXPECTED}


def test_large_data_is_read_in_chunks(content: Content) -> None:
    """The digest of several chunks is that of the whole."""
    raw = bytes(range(256)) * 10_000
    sha = hashlib.sha256(raw).hexdigest()
    described = _digest(content, base64.b64encode(raw).decode())
    assert described == {"size": len(raw), "sha256": sha}


def test_text_that_is_not_base64_is_digested_unchanged(content: Content) -> None:
    """A file passed as text has the digest of its text."""
    text = "not base64 at all! \ud800"
    raw = text.encode(errors="surrogatepass")
    sha = hashlib.sha256(raw).hexdigest()
    assert _digest(content, text) == {"size": len(raw), "sha256": sha}


def _text(content: Content, text: str) -> Any:
    """Return the text of a message."""
    return content.call([text])[INPUT][0]["parts"][0]["content"]


@pytest.mark.parametrize("data", [PLAIN, URL_SAFE], ids=["base64", "url-safe"])
def test_data_in_text_becomes_note(data: str, content: Content) -> None:
    """Data URLs and long runs of base64 are replaced, the text around them is not."""
    marked = f"See ![rose](data:image/png;base64,{data}) and {data}, please."
    assert _text(content, marked) == (
        f"See ![rose]([image/png, 3000 bytes, sha256 {SHA}]) and "
        f"[binary data, 3000 bytes, sha256 {SHA}], please."
    )


def test_data_url_without_type_becomes_note(content: Content) -> None:
    """RFC 2397 makes the type optional."""
    found = _text(content, "data:;base64,QUJD")
    assert found.startswith("[binary data, 3 bytes")


@pytest.mark.parametrize("text", ["rose " * 500, "A" * 5_000, "x", "deadbeef" * 200])
def test_words_and_numbers_stay(text: str, content: Content) -> None:
    """Long texts, repeated letters and hexadecimal digits are not base64."""
    assert _text(content, text) == text


def test_truncated_data_has_no_digest(content_of: Callable[..., Content]) -> None:
    """Data beyond the part of a text that is read has the size of what was read."""
    content = content_of(content_limit=1_024)
    found = _text(content, f"Look: {PLAIN * 10}")
    read = re.fullmatch(r"Look: \[binary data, more than (\d+) bytes\](.*)", found)
    assert read is not None
    size, note = read.groups()
    assert 1_024 < int(size) < 30_000
    assert note == f"…[+{6 + len(PLAIN) * 10 - len(found) + len(note)} characters]"
    whole = _text(content, f"{PLAIN} end " + "rose " * 10_000)
    assert whole.startswith(f"[binary data, 3000 bytes, sha256 {SHA}] end rose")


def test_a_url_loses_its_credentials(content: Content) -> None:
    """User, password and known signatures are removed, the address remains."""
    url = "https://rosa:secret@shop.example/a.png?size=3&X-Amz-Signature=abc&sig=def#x"
    blocks = [{"type": "image_url", "image_url": {"url": url}}]
    found = content.call([{"role": "user", "content": blocks}])
    assert found[INPUT][0]["parts"][0]["uri"] == (
        "https://REDACTED@shop.example/a.png"
        "?size=3&X-Amz-Signature=REDACTED&sig=REDACTED#x"
    )
