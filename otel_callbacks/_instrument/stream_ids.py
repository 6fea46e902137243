"""The response id of streams, which langchain-openai drops.

Only inside `instrument`: its one method that turns a chunk of the API into a message
is wrapped, so that the message keeps the chunk's id where an answer that is not
streamed has it.
"""

from __future__ import annotations

import functools
import sys
from typing import Any, Final

_MODULE: Final = "langchain_openai.chat_models.base"
_CLASS: Final = "BaseChatOpenAI"
_METHOD: Final = "_convert_chunk_to_generation_chunk"
_MARK: Final = "_otel_callbacks_original"


def wrap_streams() -> bool:
    """Wrap the method, if the app has imported langchain-openai by now.

    Returns:
        Whether nothing is left to be done.
    """
    module = sys.modules.get(_MODULE)
    if module is None:
        return False
    kind = getattr(module, _CLASS, None)
    original = getattr(kind, _METHOD, None)
    if original is None or hasattr(original, _MARK):
        return True

    @functools.wraps(original)
    def convert(self: Any, chunk: Any, *args: Any, **kwargs: Any) -> Any:
        made = original(self, chunk, *args, **kwargs)
        message = getattr(made, "message", None)
        # Merged messages keep one of equal ids, so that each chunk may have it.
        if message is not None and isinstance(chunk, dict) and chunk.get("id"):
            message.response_metadata.setdefault("id", chunk["id"])
        return made

    setattr(convert, _MARK, original)
    setattr(kind, _METHOD, convert)
    return True


def unwrap_streams() -> None:
    """Undo it, unless somebody else has wrapped it since."""
    kind = getattr(sys.modules.get(_MODULE), _CLASS, None)
    wrapped = getattr(kind, _METHOD, None)
    original = getattr(wrapped, _MARK, None)
    # Who wraps with functools.wraps copies our mark: then ours is further in.
    if original is not None and getattr(wrapped, "__wrapped__", None) is original:
        setattr(kind, _METHOD, original)
