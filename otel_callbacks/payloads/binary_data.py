"""Binary data never leaves: it becomes its size and SHA-256.

Models are sent images as base64, tools give files back, and texts hold ``data:`` URLs.
What such data were can be proved by the digest; what they show cannot be read from it.
"""

from __future__ import annotations

import binascii
import hashlib
import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHUNK: Final = 1 << 20
"""Characters decoded at a time; a multiple of 4, as base64 wants."""

_FROM_URL_SAFE: Final = str.maketrans("-_", "+/", " \t\r\n")
_LINE: Final = 80
"""Base64 in mails is wrapped at 76 characters."""

_DATA_URL: Final = re.compile(
    r"data:([\w.+-]+/[\w.+-]+)?(?:;[\w=.+-]+)*;base64,"
    r"((?:[A-Za-z0-9+/_=%-]+(?:\r?\n(?=[A-Za-z0-9+/]{32}))?)*)"
)
_RUN: Final = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{512,}={0,2}")
"""What is longer than any word, path or token, and has no blank in it."""

_MIXED: Final = tuple(map(re.compile, ("[a-z]", "[A-Z]", "[0-9]")))
_LONG_ENOUGH: Final = 512

# https://opentelemetry.io/docs/specs/semconv/registry/attributes/url/ names these.
_SIGNATURES: Final = re.compile(
    r"(?i)([?&](?:AWSAccessKeyId|Signature|sig|X-Goog-Signature|X-Amz-Signature"
    r"|X-Amz-Credential|X-Amz-Security-Token|token|access_token|key|api_key)=)[^&#\s]+"
)
_USER: Final = re.compile(r"(?<=://)[^/?#@\s]+@")


def digest(data: str | bytes) -> dict[str, Any]:
    """Say how large data are, and which.

    Args:
        data: Bytes, or base64 of them.

    Returns:
        ``size`` in bytes and ``sha256`` in hexadecimal digits.
    """
    sha = hashlib.sha256()
    size = 0
    try:
        for chunk in _chunks(data):
            sha.update(chunk)
            size += len(chunk)
    except ValueError:  # no base64 after all
        raw = str(data).encode(errors="surrogatepass")
        sha, size = hashlib.sha256(raw), len(raw)
    return {"size": size, "sha256": sha.hexdigest()}


def _chunks(data: str | bytes) -> Iterator[bytes]:
    """Yield data piece by piece, decoded."""
    if isinstance(data, bytes | bytearray | memoryview):
        yield bytes(data)
        return
    head = data[:_LINE]
    if "-" in data or "_" in data or head != head.translate(_FROM_URL_SAFE):
        data = data.translate(_FROM_URL_SAFE)
    for start in range(0, len(data), _CHUNK):
        chunk = data[start : start + _CHUNK]
        chunk += "=" * (-len(chunk) % 4)
        yield binascii.a2b_base64(chunk, strict_mode=True)


def split_data_url(url: str) -> tuple[str, str] | None:
    """Take a ``data:`` URL apart.

    Args:
        url: Any URL.

    Returns:
        The MIME type, which may be empty, and the data; None where it is none.
    """
    if not url.startswith("data:"):
        return None
    head, _, data = url.partition(",")
    return head.removeprefix("data:").partition(";")[0], data


def without_data(text: str, *, whole: bool = True) -> str:
    """Return a text with a note in the place of each piece of base64 in it.

    Args:
        text: Any text.
        whole: Whether it is all of it; else data at its end have no digest.
    """

    def note_of(found: re.Match[str]) -> str:
        if found.re is _RUN and not all(kind.search(found[0]) for kind in _MIXED):
            return found[0]
        if not whole and found.end() == len(found.string):
            return f"[binary data, more than {len(found[0]) // 4 * 3} bytes]"
        if found.re is _RUN:
            return note(found[0])
        return note(found[2], found[1] or "binary data")

    if "base64," in text:
        text = _DATA_URL.sub(note_of, text)
    return _RUN.sub(note_of, text) if len(text) >= _LONG_ENOUGH else text


def note(data: str | bytes, mime_type: str = "binary data") -> str:
    """Return the text that stands for data.

    Args:
        data: Bytes, or base64 of them.
        mime_type: What they are.
    """
    said = digest(data)
    return f"[{mime_type}, {said['size']} bytes, sha256 {said['sha256']}]"


def without_credentials(url: str) -> str:
    """Return a URL without user, password and known signatures.

    Args:
        url: Any URL.
    """
    return _SIGNATURES.sub(r"\1REDACTED", _USER.sub("REDACTED@", url))
