from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, AIMessageChunk

from otel_callbacks.testing import FakeChatModel, FakeTextModel

if TYPE_CHECKING:
    from langchain_core.language_models import BaseLanguageModel
    from langchain_core.messages.ai import UsageMetadata

_USAGE: UsageMetadata = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}


class _Tokens(BaseCallbackHandler):
    """Records the streamed tokens."""

    run_inline = True

    def __init__(self) -> None:
        self.tokens: list[str] = []

    def on_llm_new_token(self, token: str, **kwargs: object) -> None:
        """Record a token."""
        del kwargs
        self.tokens.append(token)


def _parameters(model: BaseLanguageModel[Any]) -> object:
    """Return the parameters that LangChain passes to callbacks."""
    return model._get_ls_params()  # type: ignore[attr-defined]


async def test_a_chat_model_has_a_fixed_answer() -> None:
    """It returns text, usage and tool calls, sync and async."""
    call = {"name": "price", "args": {}, "id": "c1", "type": "tool_call"}
    llm = FakeChatModel(answer="Tulips.", usage=_USAGE, tool_calls=[call])  # type: ignore[list-item]
    for message in (llm.invoke("x"), await llm.ainvoke("x")):
        assert isinstance(message, AIMessage)
        assert message.content == "Tulips."
        assert message.usage_metadata == _USAGE
        assert message.tool_calls == [call]


async def test_a_chat_model_streams_its_answer_in_pieces() -> None:
    """The number of pieces is as requested, and the usage is sent once."""
    heard = _Tokens()
    llm = FakeChatModel(answer="abcdef", usage=_USAGE, chunks=3, callbacks=[heard])
    chunks = [one for one in llm.stream("x") if one.content]
    chunks += [one async for one in llm.astream("x") if one.content]
    assert [chunk.content for chunk in chunks] == ["ab", "cd", "ef"] * 2
    assert [chunk.usage_metadata for chunk in chunks] == [None, None, _USAGE] * 2
    assert [token for token in heard.tokens if token] == ["ab", "cd", "ef"] * 2


async def test_pieces_can_be_had_without_callbacks() -> None:
    """A stream works without a handler."""
    chat, text = FakeChatModel(answer="ab", chunks=1), FakeTextModel(answer="ab")
    assert [one.text for one in chat.stream("x") if one.text] == ["ab"]
    assert [one.text async for one in chat.astream("x") if one.text] == ["ab"]
    assert list(text.stream("x")) == ["a", "b"]
    assert [one async for one in text.astream("x")] == ["a", "b"]
    # As a model that wraps this one may call it.
    assert [one.text for one in text._stream("x")] == ["a", "b"]
    assert [one.text async for one in text._astream("x")] == ["a", "b"]


async def test_a_text_model_reports_one_usage_for_all_prompts() -> None:
    """Like providers of text models."""
    llm = FakeTextModel(answer="Tulips.", usage=_USAGE)
    for result in (llm.generate(["a", "b"]), await llm.agenerate(["a", "b"])):
        assert [one[0].text for one in result.generations] == ["Tulips."] * 2
        assert result.llm_output == {
            "model_name": "fake-model",
            "token_usage": {
                "prompt_tokens": 7,
                "completion_tokens": 3,
                "total_tokens": 10,
            },
        }
    assert FakeTextModel().generate(["a"]).llm_output == {"model_name": "fake-model"}


async def test_a_text_model_streams_its_answer_in_pieces() -> None:
    """Sync and async; callbacks get every piece."""
    heard = _Tokens()
    llm = FakeTextModel(answer="abcdef", chunks=2, callbacks=[heard])
    pieces = [*llm.stream("x"), *[one async for one in llm.astream("x")]]
    assert [one for one in pieces if one] == ["abc", "def"] * 2
    assert [one for one in heard.tokens if one] == ["abc", "def"] * 2


@pytest.mark.parametrize("kind", [FakeChatModel, FakeTextModel])
async def test_errors_are_raised_in_every_way_to_call(
    kind: type[FakeChatModel | FakeTextModel],
) -> None:
    """Whole calls fail at once, streams after the requested piece."""
    llm = kind(answer="abc", error=ConnectionError("gone"), error_after=2)
    with pytest.raises(ConnectionError, match="gone"):
        llm.invoke("x")
    with pytest.raises(ConnectionError, match="gone"):
        await llm.ainvoke("x")
    got: list[str | AIMessageChunk] = []
    with pytest.raises(ConnectionError, match="gone"):
        got.extend(llm.stream("x"))
    assert len(got) == 2
    with pytest.raises(ConnectionError, match="gone"):
        _ = [chunk async for chunk in llm.astream("x")]


@pytest.mark.parametrize("kind", [FakeChatModel, FakeTextModel])
def test_a_delay_takes_its_time(
    kind: type[FakeChatModel | FakeTextModel],
) -> None:
    """It precedes an answer and each piece."""
    llm = kind(answer="ab", chunks=2, delay=0.02)
    start = time.monotonic()
    llm.invoke("x")
    list(llm.stream("x"))
    assert time.monotonic() - start >= 0.06


def test_models_have_the_parameters_for_callbacks() -> None:
    """LangChain passes on provider, model and kind."""
    chat = FakeChatModel(model_name="m", provider="p")
    assert _parameters(chat) == {
        "ls_provider": "p",
        "ls_model_name": "m",
        "ls_model_type": "chat",
    }
    text = FakeTextModel()
    assert _parameters(text) == {
        "ls_provider": "fake",
        "ls_model_name": "fake-model",
        "ls_model_type": "llm",
    }
