"""Media of all providers' shapes: by reference, or as a digest."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest

from otel_callbacks._content.media import media_part

RAW = b"a rose"
B64 = base64.b64encode(RAW).decode()
URL = "https://shop.example/rose.png"
DIGEST = {"content": "", "size": 6, "sha256": hashlib.sha256(RAW).hexdigest()}


def blob(modality: str, mime: str = "") -> dict[str, Any]:
    """Return the part of data that are left out."""
    head = {"mime_type": mime} if mime else {}
    return {"type": "blob", **head, "modality": modality, **DIGEST}


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{B64}"}},
            blob("image", "image/png"),
        ),
        (
            {"type": "image_url", "image_url": {"url": URL}},
            {"type": "uri", "modality": "image", "uri": URL},
        ),
        (
            {"type": "input_image", "image_url": URL},
            {"type": "uri", "modality": "image", "uri": URL},
        ),
        (
            {"type": "input_audio", "input_audio": {"data": B64, "format": "wav"}},
            blob("audio", "audio/wav"),
        ),
        (
            {"type": "file", "file": {"file_id": "file-1"}},
            {"type": "file", "modality": "document", "file_id": "file-1"},
        ),
        (
            {"type": "input_file", "file_data": f"data:application/pdf;base64,{B64}"},
            blob("document", "application/pdf"),
        ),
        ({"type": "image_generation_call", "result": B64}, blob("image")),
        (
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/gif", "data": B64},
            },
            blob("image", "image/gif"),
        ),
        (
            {"type": "document", "source": {"type": "file", "file_id": "f"}},
            {"type": "file", "modality": "document", "file_id": "f"},
        ),
        (
            {"type": "media", "mime_type": "video/mp4", "data": RAW},
            blob("video", "video/mp4"),
        ),
        (
            {"type": "media", "mime_type": "image/png", "file_uri": "gs://b/rose"},
            {
                "type": "uri",
                "mime_type": "image/png",
                "modality": "image",
                "uri": "gs://b/rose",
            },
        ),
        (
            {"type": "image", "format": "png", "source": {"bytes": RAW}},
            blob("image", "image/png"),
        ),
        (
            {"type": "audio", "base64": B64, "mime_type": "audio/mp3"},
            blob("audio", "audio/mp3"),
        ),
        ({"type": "file"}, None),
        (
            {"type": "file", "file": {"source": {"file": {"file": {"url": URL}}}}},
            None,
        ),
    ],
    ids=lambda value: value.get("type", "") if isinstance(value, dict) else "none",
)
def test_a_medium_becomes_a_part(
    block: dict[object, object], expected: dict[str, Any] | None
) -> None:
    """What OpenAI, Anthropic, Google, Bedrock and LangChain call media are parts."""
    assert media_part(str(block["type"]), block) == expected
