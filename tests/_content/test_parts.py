"""Content blocks of all shapes become the parts of the conventions' schemas."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Content

INPUT = "gen_ai.input.messages"
ROSES = {"type": "text", "content": "Roses?"}
THOUGHT = {"type": "reasoning", "content": "Hm."}
CALL = {"type": "tool_call", "id": "c1", "name": "price", "arguments": {"of": "rose"}}
RESPONSE = {"type": "tool_call_response", "id": "c1", "response": "3"}


@pytest.fixture
def parts(content: Content) -> Callable[..., Any]:
    """Return what reports a call with one message, and returns its parts."""

    def report(role: str = "user", **fields: Any) -> Any:
        (message,) = content.call([{"role": role, **fields}])[INPUT]
        return message["parts"]

    return report


@pytest.mark.parametrize(
    ("blocks", "expected"),
    [
        ("Roses?", [ROSES]),
        ("", []),
        (None, []),
        (["Roses?"], [ROSES]),
        ({"type": "text", "text": "Roses?"}, [ROSES]),
        ([{"type": "input_text", "text": "Roses?"}], [ROSES]),
        ([{"type": "output_text", "text": "Roses?", "annotations": []}], [ROSES]),
        ([{"text": "Roses?"}], [ROSES]),
        ([{"type": "text", "content": "Roses?"}], [ROSES]),
        ([{"type": "text-plain", "text": "Roses?"}], [ROSES]),
        ([{"type": "document", "source": {"type": "text", "data": "Roses?"}}], [ROSES]),
        ([{"type": "thinking", "thinking": "Hm.", "signature": "x"}], [THOUGHT]),
        ([{"type": "reasoning", "reasoning": "Hm."}], [THOUGHT]),
        ([{"type": "reasoning", "summary": [{"text": "Hm."}, {}, 3]}], [THOUGHT]),
        (
            [{"type": "reasoning_content", "reasoning_content": {"text": "Hm."}}],
            [THOUGHT],
        ),
        ([{"reasoningContent": {"reasoningText": {"text": "Hm."}}}], [THOUGHT]),
        (
            [
                {
                    "type": "tool_call",
                    "name": "price",
                    "args": {"of": "rose"},
                    "id": "c1",
                }
            ],
            [CALL],
        ),
        (
            [
                {
                    "type": "tool_use",
                    "name": "price",
                    "input": {"of": "rose"},
                    "id": "c1",
                }
            ],
            [CALL],
        ),
        (
            [
                {
                    "toolUse": {
                        "name": "price",
                        "input": {"of": "rose"},
                        "toolUseId": "c1",
                    }
                }
            ],
            [CALL],
        ),
        (
            [
                {
                    "type": "function_call",
                    "name": "price",
                    "arguments": '{"of": "rose"}',
                    "call_id": "c1",
                    "id": "fc_1",
                }
            ],
            [CALL],
        ),
        ([{"type": "tool_result", "tool_use_id": "c1", "content": "3"}], [RESPONSE]),
        (
            [{"type": "function_call_output", "call_id": "c1", "output": "3"}],
            [RESPONSE],
        ),
        (
            [{"functionResponse": {"name": "c1", "response": {"price": 3}}}],
            [{**RESPONSE, "response": {"price": 3}}],
        ),
        (
            [{"type": "refusal", "refusal": "No."}],
            [{"type": "refusal", "content": "No."}],
        ),
        (
            [{"type": "compaction", "id": "k", "content": "So far."}],
            [{"type": "compaction", "id": "k", "content": "So far."}],
        ),
        ([{"type": "compaction"}], [{"type": "compaction"}]),
        (
            [{"type": "non_standard", "value": {"type": "guard", "text": "x"}}],
            [{"type": "guard", "text": "x"}],
        ),
        (
            [{"type": "image", "image_url": {"url": "https://shop.example/a.png"}}],
            [{"type": "uri", "modality": "image", "uri": "https://shop.example/a.png"}],
        ),
        (
            [{"type": "redacted_thinking", "data": "xyz", "index": 0}],
            [{"type": "redacted_thinking", "data": "xyz"}],
        ),
        ([{"type": "text"}], [{"type": "other_text"}]),
        ([{"type": "uri", "x": 1}], [{"type": "other_uri", "x": 1}]),
        ([{"type": "reasoning"}], [{"type": "other_reasoning"}]),
        (
            [{"type": "refusal", "refusal": 3}],
            [{"type": "other_refusal", "refusal": 3}],
        ),
        ([{"type": "image"}], [{"type": "other_image"}]),
        ([{"odd": 1}], [{"type": "unknown", "odd": 1}]),
        ([3], [{"type": "unknown"}]),
        (
            [{"type": "document", "source": {"type": "content", "content": ["a"]}}],
            [{"type": "document_content", "content": ["a"]}],
        ),
        (
            [{"type": "code_execution_result", "outcome": "OK", "output": "7"}],
            [
                {
                    "type": "server_tool_call_response",
                    "server_tool_call_response": {
                        "type": "code_execution",
                        "output": "7",
                        "outcome": "OK",
                    },
                }
            ],
        ),
    ],
)
def test_content_becomes_parts(blocks: Any, expected: Any, parts: Any) -> None:
    """Blocks of OpenAI, Anthropic, Google, Bedrock and LangChain become parts."""
    assert parts(content=blocks) == expected


def test_work_is_bounded(content_of: Callable[..., Content]) -> None:
    """When the work is used up, no further block is read, and the last one in part."""
    content = content_of(content_limit=1_024)
    last = {"type": "odd", "a": 1}
    found = []
    for length in range(150, 170):
        blocks = [{"type": "rows", "rows": [1] * length}, last]
        (message,) = content.call([{"role": "user", "content": blocks}])[INPUT]
        found.append(message["parts"][1:])
    whole, cut, empty = [last], [{"content": "…", "type": "odd"}], list[Any]()
    assert found[0] == whole
    assert cut in found
    assert found[-1] == empty


@pytest.mark.parametrize(
    "call",
    [
        {"name": "price", "args": {"of": "rose"}, "id": "c1"},
        {"id": "c1", "function": {"name": "price", "arguments": '{"of": "rose"}'}},
        {"id": "c1", "name": "price", "arguments": {"of": "rose"}},
    ],
)
def test_a_tool_call_is_read_in_each_shape(
    call: dict[object, object], parts: Any
) -> None:
    """LangChain's own shape and OpenAI's raw one give the same part."""
    assert parts(role="assistant", tool_calls=[call]) == [CALL]


def test_arguments_that_are_no_json_stay_text(parts: Any) -> None:
    """A truncated call keeps its arguments as text."""
    call = {"name": "price", "args": '{"of": "ro'}
    assert parts(role="assistant", tool_calls=[call]) == [
        {"type": "tool_call", "name": "price", "arguments": '{"of": "ro'}
    ]


def test_blocks_of_tool_result_become_parts(parts: Any) -> None:
    """A tool's blocks become parts inside the response."""
    blocks = [{"type": "text", "text": "Roses?"}]
    assert parts(role="tool", tool_call_id="c1", content=blocks) == [
        {"type": "tool_call_response", "id": "c1", "response": [ROSES]}
    ]
    assert parts(role="tool") == [{"type": "tool_call_response", "response": None}]


def test_server_tool_call(parts: Any) -> None:
    """The tool's name and arguments are kept, at every provider."""
    block = {
        "type": "server_tool_use",
        "id": "s1",
        "name": "web_search",
        "input": {"query": "roses"},
    }
    assert parts(content=[block]) == [
        {
            "type": "server_tool_call",
            "id": "s1",
            "name": "web_search",
            "server_tool_call": {"type": "web_search", "input": {"query": "roses"}},
        }
    ]


def test_a_call_is_named_by_its_type(parts: Any) -> None:
    """OpenAI's calls have no name except their type."""
    block = {"type": "web_search_call", "action": {"query": "roses"}}
    assert parts(content=[block]) == [
        {
            "type": "server_tool_call",
            "name": "web_search",
            "server_tool_call": {"type": "web_search", "action": {"query": "roses"}},
        }
    ]


def test_server_tool_result(parts: Any) -> None:
    """A result has the id of its call and the output."""
    block = {"type": "web_search_tool_result", "tool_use_id": "s1"}
    assert parts(content=[{**block, "content": [{"url": "u"}]}]) == [
        {
            "type": "server_tool_call_response",
            "id": "s1",
            "server_tool_call_response": {
                "type": "web_search_tool",
                "content": [{"url": "u"}],
            },
        }
    ]


RAW = b"a rose"
B64 = base64.b64encode(RAW).decode()
URL = "https://shop.example/rose.png"
DIGEST = {"content": "", "size": 6, "sha256": hashlib.sha256(RAW).hexdigest()}


def blob(modality: str, mime: str = "") -> dict[str, Any]:
    """Return the part of data whose bytes are left out."""
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
        ({"type": "file"}, {"type": "other_file"}),
        # Too deep.
        (
            {"type": "file", "file": {"source": {"file": {"file": {"url": URL}}}}},
            {
                "type": "other_file",
                "file": {"source": {"file": {"file": {"url": URL}}}},
            },
        ),
    ],
    ids=lambda value: value.get("type", "") if isinstance(value, dict) else "none",
)
def test_a_medium_becomes_a_part(
    block: dict[object, object], expected: dict[str, Any], parts: Any
) -> None:
    """Media blocks of OpenAI, Anthropic, Google, Bedrock and LangChain become parts."""
    assert parts(content=[block]) == [expected]
