"""The estimate of a call's tokens before the provider counts them."""

from __future__ import annotations

import base64
import json
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, Generation, LLMResult
from pydantic import BaseModel
from reporting import Reporter

from otel_callbacks import track_usage
from otel_callbacks.testing import Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from langchain_openai import ChatOpenAI

    from otel_callbacks.testing import Capture, FakeOpenAI

    Estimate = Callable[..., int]

# https://platform.openai.com/docs/guides/images-vision and the like: tokens of an
# image, of one in low detail, of a page and of a second of sound.
IMAGE: Final = 1_600
SMALL_IMAGE: Final = 85
PAGE: Final = 4_600
SECOND_OF_AUDIO: Final = 32

COUNTS: Final[dict[str, dict[str, Any]]] = json.loads(
    (Path(__file__).parents[1] / "data" / "token_counts.json").read_text("utf-8")
)
"""Of texts of many kinds what real tokenizers count: ``tests/data/count_tokens.py``."""

MOST_TOO_MUCH: Final = 2.5


def counted(kind: str) -> int:
    """Return the most tokens that one of the tokenizers counts for a text."""
    return max(count for name, count in COUNTS[kind].items() if name != "text")  # type: ignore[no-any-return]


FILE: Final = "the price of a rose today, 12.50 " * 3_000


NO_ANSWER: Final = LLMResult(generations=[[]])


def assumed(
    reporter: Reporter, payload: Any, params: Any = None, result: Any = NO_ANSWER
) -> int:
    """Report a call whose usage stays unknown, and return the tokens that it counts."""
    with track_usage() as usage:
        reporter.call(payload, result, params=params)
    return usage.assumed_tokens


@pytest.fixture
def estimate(reporter: Reporter) -> Estimate:
    """Return what estimates a call's input: its messages, and its parameters."""
    return partial(assumed, reporter)


@pytest.mark.parametrize("kind", COUNTS)
def test_real_tokenizers_count_no_more(kind: str, estimate: Estimate) -> None:
    """The estimate of each kind of text is above each count, but not far above."""
    found = estimate(COUNTS[kind]["text"])
    assert counted(kind) <= found <= counted(kind) * MOST_TOO_MUCH


@pytest.mark.parametrize("kind", COUNTS)
def test_pieces_of_a_text_are_bounded_too(kind: str, estimate: Estimate) -> None:
    """A text in messages is estimated no lower than as a whole."""
    text = COUNTS[kind]["text"]
    half = len(text) // 2
    messages = [HumanMessage(text[:half]), SystemMessage(text[half:])]
    assert estimate(messages) >= counted(kind)


@pytest.mark.parametrize("payload", ["", None, [], [object()], [[]]])
def test_empty_prompt_has_small_estimate(payload: object, estimate: Estimate) -> None:
    """An empty prompt has a small estimate above 0."""
    assert 1 <= estimate(payload) <= 4


class Hostile(HumanMessage):
    """A message that cannot be read."""

    @property  # type: ignore[misc]
    def additional_kwargs(self) -> dict[str, Any]:  # type: ignore[override]
        """Fail."""
        raise ValueError


def test_unreadable_message_counts_its_frame(estimate: Estimate) -> None:
    """An estimate never fails, and the readable parts count."""
    assert estimate([Hostile("x"), Hostile("x")]) == 8  # type: ignore[call-arg]
    messages = [Hostile("x"), HumanMessage("Roses? " * 500)]  # type: ignore[call-arg]
    assert estimate(messages) > 1_000


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
    name: object, kind: object, usual: int, low: int, estimate: Estimate
) -> None:
    """OpenAI's small models use more; only OpenAI has a low detail."""
    for detail, least in (("high", usual), ("low", low)):
        part = {"type": "image_url", "image_url": {"url": "x", "detail": detail}}
        params = {"model": name, "_type": kind}
        tokens = estimate([HumanMessage([part])], params)  # type: ignore[list-item]
        assert tokens == least + 4


def _learn_apart(prompts: Sequence[str]) -> None:
    """Learn a correction for each prompt, which does not apply to the others."""
    usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
    message = AIMessage("x", usage_metadata=usage)
    little = LLMResult(generations=[[ChatGeneration(message=message)]])
    for known in prompts:
        with Reporter() as reporter:
            before = [assumed(reporter, [one], MODEL) for one in prompts]
            for _ in range(5):
                assumed(reporter, [known], MODEL, little)
            after = [assumed(reporter, [one], MODEL) for one in prompts]
        for one, first, later in zip(prompts, before, after, strict=True):
            assert (later < first) == (one == known), (known, one)


MODEL: Final = {"model": "gpt-4o"}


def test_prompts_of_other_words_or_sizes_are_corrected_apart() -> None:
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
    _learn_apart([*(word * 50 for word in words), "a b c " * 500])


def test_kinds_of_text_are_corrected_apart() -> None:
    """A correction for English does not apply to Chinese, and so on."""
    kinds = ("english", "chinese", "digits", "punctuation", "csv")
    _learn_apart([COUNTS[kind]["text"] for kind in kinds])


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
def test_parts_of_a_message(
    part: Any, least: int, most: int, estimate: Estimate
) -> None:
    """Each kind of part has its own estimate."""
    assert least <= estimate([HumanMessage([part])]) - 4 <= most


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
def test_texts_beside_the_messages_count(
    name: str, value: object, estimate: Estimate
) -> None:
    """A parameter may hold the greater part of the request."""
    little = estimate([HumanMessage("x")], {"_type": "openai-chat"})
    params = {"_type": "openai-chat", name: value}
    more = estimate([HumanMessage("x")], params) - little
    assert 1_000 <= more <= 1_100


@pytest.mark.parametrize("name", ["stop", "metadata", "extra_headers", "logit_bias"])
def test_parameters_that_the_model_does_not_read_are_not_estimated(
    name: str, estimate: Estimate
) -> None:
    """Stop sequences, headers and the like cost no tokens."""
    alone = estimate([HumanMessage("x")], {"_type": "anthropic-chat"})
    with_more = {"_type": "anthropic-chat", name: ["roses " * 500]}
    assert estimate([HumanMessage("x")], with_more) == alone


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
def test_name_reasoning_and_function_calls_of_message_count(
    message: Any, estimate: Estimate
) -> None:
    """A name, the model's reasoning, and calls of old functions."""
    assert 1_000 <= estimate([message]) <= 3_000


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
def test_a_text_file_counts_as_text_whoever_names_its_kind(
    document: Any, estimate: Estimate
) -> None:
    """Bedrock names a format, OpenAI a file; pages of a PDF would be too few."""
    assert estimate([HumanMessage([document])]) > len(FILE) / 3


def test_tool_calls_of_the_history_count(estimate: Estimate) -> None:
    """The model's tool calls and their results are part of the next input."""
    call = {"name": "find", "args": {"q": "roses" * 400}, "id": "1"}
    request = AIMessage("", tool_calls=[call])
    assert estimate([request]) > 1_000
    answered = ToolMessage("roses " * 500, tool_call_id="1")
    assert estimate([answered]) > 1_000
    old = {"function_call": {"name": "find", "arguments": JSON}}
    assert estimate([AIMessage("", additional_kwargs=old)]) > 1_000


class Order(BaseModel):
    """An order of flowers, as the shop's own system keeps it."""

    number: int
    flowers: list[str]


class Described(BaseModel):
    """A tool as an object."""

    description: str


# The lowest langchain-openai dumps an answer with an object of the app in it.
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning")
def test_tools_and_schemas_count(
    chat: Callable[..., ChatOpenAI], server: FakeOpenAI, telemetry: Capture
) -> None:
    """Twenty bound tools and a structured output are in LangChain's parameters."""
    del telemetry
    answer = '{"number": 1, "flowers": []}'
    server.when(lambda _: True, Reply(answer, send_usage=False))

    def spent(model: Any) -> int:
        with track_usage() as usage:
            model.invoke("x")
        return usage.assumed_tokens

    llm = chat()
    bare = spent(llm)
    tools = [
        {
            "name": f"tool_{n}",
            "description": "Finds flowers. " * 20,
            "parameters": {"type": "object", "properties": {}},
        }
        for n in range(20)
    ]
    for _ in range(2):
        assert spent(llm.bind_tools(tools)) > bare + 20 * 80
    structured = llm.with_structured_output(
        Order, method="json_schema", include_raw=True
    )
    assert spent(structured) > bare + 30


def test_a_class_is_its_schema_and_other_makers_add_a_prompt_of_their_own(
    estimate: Estimate,
) -> None:
    """A Pydantic class counts as JSON; Anthropic adds what its tools need."""
    one = estimate("x", {"response_format": Order, "_type": "openai-chat"})
    other = estimate("x", {"response_format": Order, "_type": "anthropic-chat"})
    assert 30 < one < 200
    assert other == one + 530
    many = [{"tools": [{"name": f"t{n}"}]} for n in range(99)]
    assert all(estimate("x", each) > 2 for each in many)
    # An object counts what it holds, not its class: Cohere's package binds objects.
    for size in (10, 100, 1_000):
        held = Described(description="weigh a flower " * size)
        for tools in ([held], [{"function": held}], {"tools": (held,)}):
            assert estimate("x", {"tools": tools}) > 3 * size
    endless: list[Any] = []
    endless.append(endless)
    assert estimate("x", {"tools": endless}) < 999


def test_output_is_estimated(reporter: Reporter) -> None:
    """The text and the tool calls of all choices; unreadable ones count 0."""
    call = {"name": "find", "args": {"q": "roses"}, "id": "1"}
    messages = [AIMessage("Roses are red"), AIMessage("", tool_calls=[call])]
    chats: Any = [ChatGeneration(message=message) for message in messages]
    text = Generation(text="roses in")
    nothing = assumed(reporter, [])
    for result, least, most in (
        (LLMResult(generations=[chats]), 16, 59),
        (LLMResult(generations=[[text]]), 5, 5),
        (SimpleNamespace(generations=[7]), 0, 0),
        (None, 0, 0),
    ):
        assert least <= assumed(reporter, [], None, result) - nothing <= most


@pytest.mark.parametrize("text", ["a " * 40, "红玫瑰" * 100, "How much is a bouquet?"])
def test_the_shipped_provider_counts_no_more(
    chat: Callable[..., ChatOpenAI], text: str, estimate: Estimate
) -> None:
    """The input tokens in its response are no more than the estimate."""
    usage = chat().invoke(text).usage_metadata
    assert usage is not None
    assert usage["input_tokens"] <= estimate([HumanMessage(text)])
