"""The estimate of a call's tokens before the provider counts them."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, Generation, LLMResult
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

from otel_callbacks._readers.estimate import (
    IMAGE,
    PAGE,
    SECOND_OF_AUDIO,
    SMALL_IMAGE,
    output_tokens,
    prompt_estimate,
)
from otel_callbacks.testing import Reply

if TYPE_CHECKING:
    from otel_callbacks.testing import FakeOpenAI

COUNTS: Final[dict[str, dict[str, Any]]] = json.loads(
    (Path(__file__).parents[1] / "data" / "token_counts.json").read_text("utf-8")
)
"""Of texts of many kinds what real tokenizers count: ``tests/data/count_tokens.py``."""

MOST_TOO_MUCH: Final = 2.5


def counted(kind: str) -> int:
    """Return the most tokens that one of the tokenizers counts for a text."""
    return max(count for name, count in COUNTS[kind].items() if name != "text")  # type: ignore[no-any-return]


FILE: Final = "the price of a rose today, 12.50 " * 3_000


@pytest.mark.parametrize("kind", COUNTS)
def test_real_tokenizers_count_no_more(kind: str) -> None:
    """The estimate of each kind of text is above each count, but not far above."""
    estimate = prompt_estimate(COUNTS[kind]["text"]).tokens
    assert counted(kind) <= estimate <= counted(kind) * MOST_TOO_MUCH


@pytest.mark.parametrize("kind", COUNTS)
def test_pieces_of_a_text_are_bounded_too(kind: str) -> None:
    """A text in messages is estimated no lower than as a whole."""
    text = COUNTS[kind]["text"]
    half = len(text) // 2
    messages = [HumanMessage(text[:half]), SystemMessage(text[half:])]
    assert prompt_estimate(messages).tokens >= counted(kind)


@pytest.mark.parametrize("payload", ["", None, [], [object()], [[]]])
def test_empty_prompt_has_small_estimate(payload: object) -> None:
    """An empty prompt has a small estimate above 0."""
    assert 1 <= prompt_estimate(payload).tokens <= 4


class Hostile(HumanMessage):
    """A message that cannot be read."""

    @property  # type: ignore[misc]
    def additional_kwargs(self) -> dict[str, Any]:  # type: ignore[override]
        """Fail."""
        raise ValueError


def test_unreadable_message_counts_its_frame() -> None:
    """An estimate never fails, and the readable parts count."""
    assert prompt_estimate([Hostile("x"), Hostile("x")]).tokens == 8  # type: ignore[call-arg]
    messages = [Hostile("x"), HumanMessage("Roses? " * 500)]  # type: ignore[call-arg]
    assert prompt_estimate(messages).tokens > 1_000


@pytest.mark.parametrize(
    ("name", "kind", "usual", "low"),
    [
        ("gpt-4o", "openai-chat", IMAGE, SMALL_IMAGE),
        ("openai/gpt-4o-mini-2024-07-18", "openai-chat", 48_169, 2_833),
        ("gpt-4.1-nano", "azure-openai-chat", 3_779, 3_779),
        ("claude-sonnet-4-5", "anthropic-chat", IMAGE, IMAGE),
        (7, 7, IMAGE, SMALL_IMAGE),
    ],
)
def test_image_tokens_depend_on_model(
    name: object, kind: object, usual: int, low: int
) -> None:
    """OpenAI's small models use more; only OpenAI has a low detail."""
    for detail, least in (("high", usual), ("low", low)):
        part = {"type": "image_url", "image_url": {"url": "x", "detail": detail}}
        params = {"model": name, "_type": kind}
        tokens = prompt_estimate([HumanMessage([part])], params).tokens  # type: ignore[list-item]
        assert tokens == least + 4


def test_prompts_of_other_words_or_sizes_have_other_shapes() -> None:
    """A correction learned for one of them does not apply to the others."""
    words = [
        "a b c ",
        "rose tulip ",
        "international ",
        "zqxj wvkq ",
        "роза ",
        "花店",
        "🌹",
    ]
    prompts = [*(word * 50 for word in words), "a b c " * 500]
    assert len({prompt_estimate(one).shape for one in prompts}) == len(prompts)


def test_kinds_of_text_have_different_shapes() -> None:
    """Prompts of different kinds have different shapes."""
    kinds = ("english", "chinese", "digits", "punctuation", "csv")
    shapes = {prompt_estimate(COUNTS[kind]["text"]).shape for kind in kinds}
    assert len(shapes) == len(kinds)


JSON: Final = json.dumps({"q": "roses" * 400})
PDF: Final = (
    "data:application/pdf;base64,"
    + base64.b64encode(
        b"%PDF-1.7 /Type /Pages /Type /Page /Type/Page\n/Type /Page>>"
    ).decode()
)
WAV: Final = base64.b64encode(b"x" * 160_000).decode()


@pytest.mark.parametrize(
    ("part", "least", "most"),
    [
        ({"type": "text", "text": "roses in"}, 3, 3),
        ("roses in", 3, 7),
        ({"type": "text"}, 0, 0),
        ({"type": "image_url", "image_url": {"url": "https://x/y.png"}}, IMAGE, IMAGE),
        (
            {"type": "image_url", "image_url": {"url": "x", "detail": "low"}},
            *(SMALL_IMAGE, SMALL_IMAGE),
        ),
        ({"type": "image", "source": {"data": "x" * 9_999}}, IMAGE, IMAGE),
        ({"type": "media", "mime_type": "image/png", "data": "x"}, IMAGE, IMAGE),
        (
            {"type": "input_audio", "input_audio": {"data": WAV, "format": "wav"}},
            *(10 * SECOND_OF_AUDIO, 10 * SECOND_OF_AUDIO + 1),
        ),
        (
            {"type": "audio", "base64": WAV, "mime_type": "audio/mp3"},
            *(80 * SECOND_OF_AUDIO, 80 * SECOND_OF_AUDIO + 1),
        ),
        ({"type": "audio", "file_id": 7}, 60 * SECOND_OF_AUDIO, 60 * SECOND_OF_AUDIO),
        ({"type": "file", "base64": "x" * 40_000}, 6_900, 6_900),
        ({"type": "file", "base64": "not base64" * 401}, PAGE, PAGE),
        ({"type": "file", "base64": "x"}, PAGE, PAGE),
        ({"type": "file", "file_id": "file-1"}, PAGE, PAGE),
        ({"type": "input_file", "file_url": "https://x/y.pdf"}, PAGE, PAGE),
        ({"type": "file", "file": {"file_data": PDF}}, 3 * PAGE, 3 * PAGE),
        ({"type": "file", "mime_type": "text/csv", "base64": WAV}, 80_001, 80_001),
        ({"type": "file", "source_type": "text", "text": "a b " * 999}, 1_998, 2_100),
        (
            {"type": "document", "source": {"type": "text", "data": "a b " * 999}},
            *(1_998, 2_100),
        ),
        (
            {"document": {"source": {"bytes": b"x" * 40_000}}},
            9_200,
            9_200,
        ),
        ({"image": {"format": "png", "source": {"bytes": b"x"}}}, IMAGE, IMAGE),
        ({"video": {"source": {"bytes": b"x" * 50_000}}}, 600, 600),
        ({"type": "video_url", "video_url": {"url": "https://x"}}, 18_000, 18_000),
        ({"type": "blob", "data": b"x" * 400}, 200, 220),
        ({"type": "document", "source": {"url": "x"}}, PAGE, PAGE),
        ({"type": "tool_result", "content": "roses " * 500}, 1_000, 1_100),
        ({"type": "tool_use", "input": {"q": "roses" * 400}}, 1_000, 2_000),
        ({"type": "thinking", "thinking": "roses " * 500}, 1_000, 1_100),
        ({"type": 7, "n": 12345, "x": None, "y": [1.5, True], "z": object()}, 20, 60),
    ],
)
def test_parts_of_a_message(part: Any, least: int, most: int) -> None:
    """Each kind of part has its own estimate."""
    assert least <= prompt_estimate([HumanMessage([part])]).tokens - 4 <= most


@pytest.mark.parametrize(
    "name",
    [
        *("instructions", "prediction", "system", "system_instruction", "extra_body"),
        *("documents", "prompt", "response_schema", "response_json_schema"),
        *("guided_json", "suffix", "mcp_servers", "additional_model_request_fields"),
        *("model_kwargs", "a_parameter_of_tomorrow"),
    ],
)
@pytest.mark.parametrize("value", ["roses " * 500, {"content": ["roses " * 500]}])
def test_texts_beside_the_messages_count(name: str, value: object) -> None:
    """A parameter may hold the greater part of the request."""
    little = prompt_estimate([HumanMessage("x")], {"_type": "openai-chat"}).tokens
    params = {"_type": "openai-chat", name: value}
    more = prompt_estimate([HumanMessage("x")], params).tokens - little
    assert 1_000 <= more <= 1_100


@pytest.mark.parametrize("name", ["stop", "metadata", "extra_headers", "logit_bias"])
def test_parameters_that_the_model_does_not_read_are_not_estimated(name: str) -> None:
    """Stop sequences, headers and the like cost no tokens."""
    alone = prompt_estimate([HumanMessage("x")], {"_type": "anthropic-chat"})
    with_more = {"_type": "anthropic-chat", name: ["roses " * 500]}
    assert prompt_estimate([HumanMessage("x")], with_more) == alone


@pytest.mark.parametrize(
    "message",
    [
        HumanMessage("x", name="roses_" * 500),
        AIMessage("x", additional_kwargs={"reasoning_content": "roses " * 500}),
        AIMessage(
            "x", additional_kwargs={"function_call": {"arguments": "roses " * 500}}
        ),
    ],
)
def test_name_reasoning_and_function_calls_of_message_count(message: Any) -> None:
    """A name, the model's reasoning, and calls of old functions."""
    assert 1_000 <= prompt_estimate([message]).tokens <= 3_000


@pytest.mark.parametrize(
    "document",
    [
        {"document": {"format": "txt", "source": {"text": FILE}}},
        {"document": {"format": "txt", "source": {"content": [{"text": FILE}]}}},
        {"document": {"format": "csv", "source": {"bytes": FILE.encode()}}},
        {"document": {"format": "md", "source": {"bytes": FILE.encode()}}},
        {"type": "file", "file": {"filename": "a.md", "file_data": FILE}},
    ],
)
def test_a_text_file_counts_as_text_whoever_names_its_kind(document: Any) -> None:
    """Bedrock names a format, OpenAI a file; pages of a PDF would be too few."""
    assert prompt_estimate([HumanMessage([document])]).tokens > len(FILE) / 3


def test_tool_calls_of_the_history_count() -> None:
    """The model's tool calls and their results are part of the next input."""
    call = {"name": "find", "args": {"q": "roses" * 400}, "id": "1"}
    request = AIMessage("", tool_calls=[call])
    assert prompt_estimate([request]).tokens > 1_000
    answered = ToolMessage("roses " * 500, tool_call_id="1")
    assert prompt_estimate([answered]).tokens > 1_000
    old = {"function_call": {"name": "find", "arguments": JSON}}
    assert prompt_estimate([AIMessage("", additional_kwargs=old)]).tokens > 1_000


class Order(BaseModel):
    """An order of flowers, as the shop's own system keeps it."""

    number: int
    flowers: list[str]


class Parameters(BaseCallbackHandler):
    """Keeps the parameters of a model call."""

    def on_chat_model_start(self, _: Any, messages: Any, **kwargs: Any) -> None:
        """Estimate the input."""
        self.estimate = prompt_estimate(messages[0], kwargs["invocation_params"])


class Described(BaseModel):
    """A tool as an object."""

    description: str


# The lowest langchain-openai dumps an answer with an object of the app in it.
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning")
def test_tools_and_schemas_count(server: FakeOpenAI) -> None:
    """Twenty bound tools and a structured output are in LangChain's parameters."""
    seen = Parameters()
    llm = ChatOpenAI(
        model="gpt-4o-mini",
        base_url=server.base_url,
        api_key="x",  # type: ignore[arg-type]
        callbacks=[seen],
    )
    llm.invoke("x")
    bare = seen.estimate.tokens
    tools = [
        {
            "name": f"tool_{n}",
            "description": "Finds flowers. " * 20,
            "parameters": {"type": "object", "properties": {}},
        }
        for n in range(20)
    ]
    for _again in range(2):
        llm.bind_tools(tools).invoke("x")
        assert seen.estimate.tokens > bare + 20 * 80
    server.when(lambda _: True, Reply('{"number": 1, "flowers": []}'))
    llm.with_structured_output(Order, method="json_schema", include_raw=True).invoke(
        "x"
    )
    assert seen.estimate.tokens > bare + 30


def test_a_class_is_its_schema_and_other_makers_add_a_prompt_of_their_own() -> None:
    """A Pydantic class counts as JSON; Anthropic adds what its tools need."""
    one = prompt_estimate("x", {"response_format": Order, "_type": "openai-chat"})
    other = prompt_estimate("x", {"response_format": Order, "_type": "anthropic-chat"})
    assert 30 < one.tokens < 200
    assert other.tokens == one.tokens + 530
    many = [{"tools": [{"name": f"t{n}"}]} for n in range(99)]
    assert all(prompt_estimate("x", each).tokens > 2 for each in many)
    # An object counts what it holds, not its class: Cohere's package binds objects.
    for size in (10, 100, 1_000):
        held = Described(description="weigh a flower " * size)
        for tools in ([held], [{"function": held}], {"tools": (held,)}):
            assert prompt_estimate("x", {"tools": tools}).tokens > 3 * size
    endless: list[Any] = []
    endless.append(endless)
    assert prompt_estimate("x", {"tools": endless}).tokens < 999


def test_output_is_estimated() -> None:
    """The text and the tool calls of all choices; unreadable ones count 0."""
    call = {"name": "find", "args": {"q": "roses"}, "id": "1"}
    messages = [AIMessage("Roses are red"), AIMessage("", tool_calls=[call])]
    chats = [ChatGeneration(message=message) for message in messages]
    assert 15 < output_tokens(LLMResult(generations=[chats])) < 60  # type: ignore[list-item]
    assert output_tokens(LLMResult(generations=[[Generation(text="roses in")]])) == 5
    assert output_tokens(SimpleNamespace(generations=[7])) == 0
    assert output_tokens(None) == 0


@pytest.mark.parametrize("text", ["a " * 40, "红玫瑰" * 100, "How much is a bouquet?"])
def test_the_shipped_provider_counts_no_more(server: FakeOpenAI, text: str) -> None:
    """The input tokens in its response are no more than the estimate."""
    llm = ChatOpenAI(model="gpt-4o-mini", base_url=server.base_url, api_key="x")  # type: ignore[arg-type]
    usage = llm.invoke(text).usage_metadata
    assert usage is not None
    assert usage["input_tokens"] <= prompt_estimate([HumanMessage(text)]).tokens
