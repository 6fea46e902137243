"""A question about a picture."""

from __future__ import annotations

import base64
import struct
import zlib

from langchain_core.messages import HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return one chunk of a PNG file."""
    check = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + check


# One red pixel.
PICTURE = b"".join(
    (
        b"\x89PNG\r\n\x1a\n",
        chunk(b"IHDR", struct.pack(">2I5B", 1, 1, 8, 2, 0, 0, 0)),
        chunk(b"IDAT", zlib.compress(b"\x00\xff\x00\x00")),
        chunk(b"IEND", b""),
    )
)
url = f"data:image/png;base64,{base64.b64encode(PICTURE).decode()}"
model = ChatOpenAI(model="gpt-4o-mini", temperature=0.4, max_tokens=90)  # type: ignore[call-arg]
question = HumanMessage(
    [
        {"type": "text", "text": "Which flower is this?"},
        {"type": "image_url", "image_url": {"url": url}},
    ]
)
model.invoke([SystemMessage("You sell flowers."), question])
