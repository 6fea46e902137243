"""Whatever an app hands over becomes what JSON knows, and names no secret."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
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

from otel_callbacks._content.jsonable import MORE, NotPlainError, Work, parsed, plain


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
    """Knows its key."""

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
def test_a_value_becomes_plain(value: Any, expected: Any) -> None:
    """Data are copied; an object that may know a key is named by its class alone."""
    found = plain(value, Work())
    assert found == expected
    assert type(found) is type(expected)
    json.dumps(found, allow_nan=False)


def test_bytes_become_a_note() -> None:
    """Binary data become their size and digest."""
    assert str(plain(b"abc", Work())).startswith("[binary data, 3 bytes, sha256 ba78")


def test_credentials_are_left_out() -> None:
    """Strings under the names of credentials go; a schema of that name stays."""
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
    """Only so many values are read, and only so deep, also of what holds itself."""
    assert plain(range(10), Work(3)) == [0, 1, 2, MORE]
    assert plain(dict.fromkeys("abc", 1), Work(2)) == {"a": 1, "b": 1, MORE: MORE}
    assert plain([1], Work(0)) == MORE
    endless: list[Any] = []
    endless.append(endless)
    assert plain(endless, Work(), 2) == [[MORE]]


def test_strict_work_refuses_objects() -> None:
    """What a redaction gives back must be JSON as it is."""
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
    """What cannot be parsed stays the string that it is."""
    assert parsed(text) == expected
