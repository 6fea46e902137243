"""Any value of an app is converted to JSON types, without secrets."""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import enum
import hashlib
import json
import uuid
from decimal import Decimal
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.messages import HumanMessage
from pydantic import BaseModel, SecretStr

from otel_callbacks._content.jsonable import (
    MORE,
    NotPlainError,
    Work,
    digest,
    note,
    parsed,
    plain,
    split_data_url,
    without_credentials,
    without_data,
)


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
def test_value_becomes_json(value: Any, expected: Any) -> None:
    """Data is converted; an object that may hold a key is named by its class alone."""
    found = plain(value, Work())
    assert found == expected
    assert type(found) is type(expected)
    json.dumps(found, allow_nan=False)


def test_bytes_become_a_note() -> None:
    """Binary data become their size and digest."""
    assert str(plain(b"abc", Work())).startswith("[binary data, 3 bytes, sha256 ba78")


def test_credentials_are_left_out() -> None:
    """Strings under names of credentials are redacted; a schema of that name is not."""
    headers = {"Authorization": "Bearer x", "X-Api-Key": "y", "accept": "json"}
    assert plain({"headers": headers, "api_key": {"type": "string"}}, Work()) == {
        "headers": {
            "Authorization": "REDACTED",
            "X-Api-Key": "REDACTED",
            "accept": "json",
        },
        "api_key": {"type": "string"},
    }


def test_work_is_bounded() -> None:
    """The number and the depth of values are limited, even in cyclic values."""
    assert plain(range(10), Work(3)) == [0, 1, 2, MORE]
    assert plain(dict.fromkeys("abc", 1), Work(2)) == {"a": 1, "b": 1, MORE: MORE}
    assert plain([1], Work(0)) == MORE
    endless: list[Any] = []
    endless.append(endless)
    assert plain(endless, Work(), 2) == [[MORE]]


def test_strict_work_refuses_objects() -> None:
    """The result of a redaction must consist of JSON types."""
    with pytest.raises(NotPlainError, match="Client"):
        plain({"a": [Client()]}, Work(strict=True))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": 1}', {"a": 1}),
        ('{"a": ', '{"a": '),
        ("[" * 100_000, "[" * 100_000),
        ("1" * (1 << 21), "1" * (1 << 21)),
        (7, 7),
    ],
    ids=["json", "unfinished", "too deep", "too long", "no string"],
)
def test_json_in_a_string_is_parsed(text: Any, expected: Any) -> None:
    """A string that cannot be parsed is unchanged."""
    assert parsed(text) == expected


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
def test_digest_is_of_decoded_data(data: str | bytes) -> None:
    """Size and digest are those of the bytes, in any encoding."""
    assert digest(data) == EXPECTED


def test_large_data_is_read_in_chunks() -> None:
    """The digest of several chunks is that of the whole."""
    raw = bytes(range(256)) * 10_000
    described = digest(base64.b64encode(raw).decode())
    assert described == {"size": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}


def test_text_that_is_not_base64_is_digested_unchanged() -> None:
    """A file passed as text has the digest of its text."""
    text = "not base64 at all! \ud800"
    raw = text.encode(errors="surrogatepass")
    assert digest(text) == {"size": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}


def test_data_url_is_split() -> None:
    """A data URL gives its type and its data; other URLs give None."""
    assert split_data_url("data:image/png;base64,QUJD") == ("image/png", "QUJD")
    assert split_data_url("https://shop.example/rose.png") is None


@pytest.mark.parametrize("data", [PLAIN, URL_SAFE], ids=["base64", "url-safe"])
def test_data_in_text_becomes_note(data: str) -> None:
    """Data URLs and long runs of base64 are replaced, the text around them is not."""
    marked = f"See ![rose](data:image/png;base64,{data}) and {data}, please."
    text = without_data(marked)
    assert text == (
        f"See ![rose]([image/png, 3000 bytes, sha256 {SHA}]) and "
        f"[binary data, 3000 bytes, sha256 {SHA}], please."
    )


def test_data_url_without_type_becomes_note() -> None:
    """RFC 2397 makes the type optional."""
    assert without_data("data:;base64,QUJD").startswith("[binary data, 3 bytes")


@pytest.mark.parametrize("text", ["rose " * 500, "A" * 5_000, "x", "deadbeef" * 200])
def test_words_and_numbers_stay(text: str) -> None:
    """Long texts, repeated letters and hexadecimal digits are not base64."""
    assert without_data(text) == text


def test_truncated_data_has_no_digest() -> None:
    """At the end of a window, the note has the least size of the data."""
    text = without_data(f"Look: {PLAIN[:2_000]}", whole=False)
    assert text == "Look: [binary data, more than 1500 bytes]"
    assert without_data(f"{PLAIN} end", whole=False) == f"{note(RAW)} end"


def test_a_url_loses_its_credentials() -> None:
    """User, password and known signatures are removed, the address remains."""
    url = "https://rosa:secret@shop.example/a.png?size=3&X-Amz-Signature=abc&sig=def#x"
    assert without_credentials(url) == (
        "https://REDACTED@shop.example/a.png"
        "?size=3&X-Amz-Signature=REDACTED&sig=REDACTED#x"
    )
