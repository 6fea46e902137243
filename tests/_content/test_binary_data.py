"""Data become a size and a digest, wherever they stand."""

from __future__ import annotations

import base64
import hashlib

import pytest

from otel_callbacks._content.jsonable import (
    digest,
    note,
    split_data_url,
    without_credentials,
    without_data,
)

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
def test_a_digest_is_that_of_the_data_themselves(data: str | bytes) -> None:
    """However data are written, size and digest are those of the bytes."""
    assert digest(data) == EXPECTED


def test_large_data_are_read_piece_by_piece() -> None:
    """The digest of several pieces is that of the whole."""
    raw = bytes(range(256)) * 10_000
    said = digest(base64.b64encode(raw).decode())
    assert said == {"size": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}


def test_what_is_no_base64_is_digested_as_it_is() -> None:
    """A file given as text has the digest of its text."""
    text = "not base64 at all! \ud800"
    raw = text.encode(errors="surrogatepass")
    assert digest(text) == {"size": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}


def test_a_data_url_is_taken_apart() -> None:
    """A URL that holds data gives its type and the data; others give nothing."""
    assert split_data_url("data:image/png;base64,QUJD") == ("image/png", "QUJD")
    assert split_data_url("https://shop.example/rose.png") is None


@pytest.mark.parametrize("data", [PLAIN, URL_SAFE], ids=["base64", "url-safe"])
def test_data_in_a_text_become_a_note(data: str) -> None:
    """Data URLs and long runs of base64 are noted, the words around them stay."""
    marked = f"See ![rose](data:image/png;base64,{data}) and {data}, please."
    said = without_data(marked)
    assert said == (
        f"See ![rose]([image/png, 3000 bytes, sha256 {SHA}]) and "
        f"[binary data, 3000 bytes, sha256 {SHA}], please."
    )


def test_a_data_url_without_a_type_is_noted() -> None:
    """RFC 2397 lets the type be left out."""
    assert without_data("data:;base64,QUJD").startswith("[binary data, 3 bytes")


@pytest.mark.parametrize("text", ["rose " * 500, "A" * 5_000, "x", "deadbeef" * 200])
def test_words_and_numbers_stay(text: str) -> None:
    """Long texts, one letter repeated and hexadecimal digits are no base64."""
    assert without_data(text) == text


def test_data_that_are_only_begun_have_no_digest() -> None:
    """At the end of a window the data's size is said as what it is at least."""
    said = without_data(f"Look: {PLAIN[:2_000]}", whole=False)
    assert said == "Look: [binary data, more than 1500 bytes]"
    assert without_data(f"{PLAIN} end", whole=False) == f"{note(RAW)} end"


def test_a_url_loses_its_credentials() -> None:
    """User, password and known signatures go, the address stays."""
    url = "https://rosa:secret@shop.example/a.png?size=3&X-Amz-Signature=abc&sig=def#x"
    assert without_credentials(url) == (
        "https://REDACTED@shop.example/a.png"
        "?size=3&X-Amz-Signature=REDACTED&sig=REDACTED#x"
    )
