"""Images, audio, video and documents in messages: by reference, or as their digest."""

from __future__ import annotations

from typing import Any, Final

from otel_callbacks._content.jsonable import digest, split_data_url, without_credentials
from otel_callbacks._readers.values import mapping, text

_MODALITIES: Final = {
    "image": "image",
    "image_url": "image",
    "input_image": "image",
    "image_generation_call": "image",
    "audio": "audio",
    "input_audio": "audio",
    "output_audio": "audio",
    "video": "video",
    "video_url": "video",
}
"""A block's type -> its modality; whatever else holds data is a document."""

_OF_MIME_TYPES: Final = ("image", "audio", "video")
_DATA_KEYS: Final = (
    "base64",
    "data",
    "bytes",
    "file_data",
    "b64_json",
    "result",
    "image_base64",
)
_URL_KEYS: Final = ("url", "uri", "file_uri", "fileUri", "image_url", "file_url")
_FILE_KEYS: Final = ("file_id", "fileId")
_MIME_KEYS: Final = ("mime_type", "mimeType", "media_type")
_INSIDE: Final = (
    "source",
    "image_url",
    "input_audio",
    "video_url",
    "file",
    "audio",
    "image",
    "video",
    "document",
    "inline_data",
    "inlineData",
    "file_data",
    "fileData",
    "bytes",
)
"""Where the shapes of providers hold what a medium is."""

_NESTED_AT_MOST: Final = 3


def media_part(kind: str, block: dict[object, object]) -> dict[str, Any] | None:
    """Read a medium."""
    places = _places(block, _NESTED_AT_MOST)
    mime = _text_of(places, _MIME_KEYS)
    form = _text_of(places, ("format",))
    about = _About(_MODALITIES.get(kind, ""), mime, form)
    for place in places:
        for key in _URL_KEYS:
            url = place.get(key)
            if isinstance(url, str) and url:
                return _by_url(url, about)
        for key in _FILE_KEYS:
            if name := text(place.get(key)):
                return {"type": "file", **about.head(), "file_id": name}
        for key in _DATA_KEYS:
            data = place.get(key)
            if isinstance(data, str | bytes | bytearray) and data:
                if isinstance(data, str) and data.startswith("data:"):
                    return _by_url(data, about)
                data = data if isinstance(data, str) else bytes(data)
                return {"type": "blob", **about.head(), "content": "", **digest(data)}
    return None


class _About:
    """What a block says of its medium beside where it is."""

    def __init__(self, modality: str, mime: str, form: str) -> None:
        if not mime and modality and form:
            mime = f"{modality}/{form}"
        self.modality, self.mime = modality, mime

    def head(self, mime: str = "") -> dict[str, str]:
        """Return the entries that all parts of media have."""
        mime = mime or self.mime
        kind = mime.partition("/")[0]
        known = kind if kind in _OF_MIME_TYPES else "document"
        head = {"modality": self.modality or known}
        return {"mime_type": mime, **head} if mime else head


def _by_url(url: str, about: _About) -> dict[str, Any]:
    """Read a medium that is given by a URL, which may hold the data itself."""
    inline = split_data_url(url)
    if inline is None:
        uri = without_credentials(url)
        return {"type": "uri", **about.head(), "uri": uri}
    mime, data = inline
    return {"type": "blob", **about.head(text(mime)), "content": "", **digest(data)}


def _places(block: dict[object, object], depth: int) -> list[dict[object, object]]:
    """Return the dictionaries that may say what the medium is."""
    places = [block]
    if depth:
        for key in _INSIDE:
            if isinstance(block.get(key), dict):
                places += _places(mapping(block[key]), depth - 1)
    return places


def _text_of(places: list[dict[object, object]], keys: tuple[str, ...]) -> str:
    """Take the first text under one of the keys."""
    for place in places:
        for key in keys:
            if found := text(place.get(key)):
                return found
    return ""
