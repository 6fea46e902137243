"""Content blocks of all shapes become the parts of the conventions' schemas."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any

import pytest

from otel_callbacks._content.jsonable import Work
from otel_callbacks._content.parts import (
    content_parts,
    media_part,
    response_part,
    server_call,
    server_result,
    tool_call_part,
)

if TYPE_CHECKING:
    from collections.abc import Callable

ROSES = {"type": "text", "content": "Roses?"}
THOUGHT = {"type": "reasoning", "content": "Hm."}
CALL = {"type": "tool_call", "id": "c1", "name": "price", "arguments": {"of": "rose"}}
RESPONSE = {"type": "tool_call_response", "id": "c1", "response": "3"}


@pytest.mark.parametrize(
    ("content", "expected"),
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
def test_content_becomes_parts(
    content: Any, expected: Any, check_schema: Callable[[str, Any], None]
) -> None:
    """Blocks of OpenAI, Anthropic, Google, Bedrock and LangChain become parts."""
    parts = content_parts(content, Work())
    assert parts == expected
    check_schema("gen_ai.input.messages", [{"role": "user", "parts": parts}])


def test_work_is_bounded() -> None:
    """When the work is used up, no further block is read."""
    assert len(content_parts(["a"] * 10, Work(3))) == 3
    assert content_parts([{"type": "odd", "a": 1}], Work(1)) == [
        {"content": "…", "type": "odd"}
    ]


@pytest.mark.parametrize(
    "call",
    [
        {"name": "price", "args": {"of": "rose"}, "id": "c1"},
        {"id": "c1", "function": {"name": "price", "arguments": '{"of": "rose"}'}},
        {"id": "c1", "name": "price", "arguments": {"of": "rose"}},
    ],
)
def test_a_tool_call_is_read_in_each_shape(call: dict[object, object]) -> None:
    """LangChain's own shape and OpenAI's raw one give the same part."""
    assert tool_call_part(call, Work()) == CALL


def test_arguments_that_are_no_json_stay_text() -> None:
    """A truncated call keeps its arguments as text."""
    part = tool_call_part({"name": "price", "args": '{"of": "ro'}, Work())
    assert part == {"type": "tool_call", "name": "price", "arguments": '{"of": "ro'}


def test_blocks_of_tool_result_become_parts() -> None:
    """A tool's blocks become parts inside the response."""
    assert response_part("c1", [{"type": "text", "text": "Roses?"}], Work()) == {
        "type": "tool_call_response",
        "id": "c1",
        "response": [ROSES],
    }
    assert response_part(None, None, Work()) == {
        "type": "tool_call_response",
        "response": None,
    }


def test_server_tool_call() -> None:
    """The tool's name and arguments are kept, at every provider."""
    block: dict[object, object] = {
        "type": "server_tool_use",
        "id": "s1",
        "name": "web_search",
        "input": {"query": "roses"},
    }
    assert server_call("server_tool_use", block, Work()) == {
        "type": "server_tool_call",
        "id": "s1",
        "name": "web_search",
        "server_tool_call": {"type": "web_search", "input": {"query": "roses"}},
    }


def test_a_call_is_named_by_its_type() -> None:
    """OpenAI's calls have no name except their type."""
    block: dict[object, object] = {"action": {"query": "roses"}}
    assert server_call("web_search_call", block, Work()) == {
        "type": "server_tool_call",
        "name": "web_search",
        "server_tool_call": {"type": "web_search", "action": {"query": "roses"}},
    }


def test_server_tool_result() -> None:
    """A result has the id of its call and the output."""
    block: dict[object, object] = {"tool_use_id": "s1", "content": [{"url": "u"}]}
    assert server_result("web_search_tool_result", block, Work()) == {
        "type": "server_tool_call_response",
        "id": "s1",
        "server_tool_call_response": {
            "type": "web_search_tool",
            "content": [{"url": "u"}],
        },
    }


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
    """Media blocks of OpenAI, Anthropic, Google, Bedrock and LangChain become parts."""
    assert media_part(str(block["type"]), block) == expected
