from __future__ import annotations

import json
import re
from html import unescape
from html.parser import HTMLParser
from typing import Any

import pytest

from otel_callbacks.cli.picture.page import page, trace
from otel_callbacks.cli.picture.sums import Comparison, Sum
from otel_callbacks.cli.picture.timeline import OUTCOMES, timelines

_MARKUP = "<script>alert('花')</script>"


def _span(name: str, parent: str | None = None, **attributes: Any) -> dict[str, Any]:
    """Return a span as data; its id is its name."""
    return {
        "name": name,
        "kind": "CLIENT",
        "status": "UNSET",
        "attributes": {key.replace("__", "."): attributes[key] for key in attributes},
        "parent_id": parent,
        "span_id": name,
        "trace_id": "t1",
        "start_ns": 0,
        "end_ns": 2_000_000_000,
    }


class _Reader(HTMLParser):
    """Collects tags and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record a tag."""
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        """Record a text."""
        self.text += data


def _page() -> str:
    """Return a page with HTML in a name, a stream and a difference."""
    spans = [
        _span(_MARKUP),
        _span(
            "chat m",
            _MARKUP,
            gen_ai__operation__name="chat",
            gen_ai__usage__input_tokens=3,
            gen_ai__usage__output_tokens=4,
            gen_ai__response__time_to_first_chunk=0.5,
            gen_ai__response__finish_reasons=("stop", "length"),
        ),
    ]
    sums = [Comparison("m", "ok", Sum(1, 3, 4), Sum(1, 3, 5))]
    return page(timelines(spans), sums)


def test_the_page_is_self_contained() -> None:
    """It has no script, link or URL, so it works as an email attachment."""
    text = _page()
    reader = _Reader(text)
    assert not {"script", "link", "img", "iframe"} & set(reader.tags)
    assert not {"src", "href"} & {name for name, _ in reader.attributes}
    assert "http://" not in text
    assert "https://" not in text
    assert "url(" not in text


def test_text_from_spans_is_escaped() -> None:
    """Names and attributes can hold any text."""
    assert _MARKUP not in _page()
    assert _MARKUP in _Reader(_page()).text


def test_each_span_is_a_line_that_opens() -> None:
    """It has a bar, tokens, and all attributes below."""
    text = _page()
    assert text.count("<details") == 2
    assert 'style="left:0.00%;width:100.00%"><b style="width:25.00%"></b>' in text
    assert "3 → 4" in text
    assert "<dd>stop, length</dd>" in text


def test_light_and_dark_schemes() -> None:
    """The page follows the reader's setting."""
    assert "prefers-color-scheme: dark" in _page()
    assert 'content="light dark"' in _page()


def test_the_legend_has_each_outcome() -> None:
    """In the words of the terminal's legend."""
    for outcome, name in OUTCOMES.items():
        assert f'<i class="dot {outcome}"></i>{name}</li>' in _page()


def test_the_table_shows_differences_of_counters_and_results() -> None:
    """The page includes the sum check."""
    assert "NOT equal" in _page()


def test_a_page_without_traces() -> None:
    """An interrupted run has none."""
    assert page([], []).endswith("</html>\n")


@pytest.mark.parametrize(
    ("name", "value", "lines"),
    [
        (
            "gen_ai__input__messages",
            [
                {"role": "user", "parts": [{"type": "text", "content": "Roses?"}, 7]},
                {"role": "tool", "parts": [{"type": "image", "uri": "x"}]},
                {
                    "role": "tool",
                    "parts": [{"type": "tool_call_response", "response": {"a": "花"}}],
                },
                "no message",
            ],
            [
                "userRoses?",
                'tool[image] {"type": "image", "uri": "x"}',
                'tool→ {"a": "花"}',
            ],
        ),
        (
            "gen_ai__output__messages",
            json.dumps(
                [
                    {
                        "role": "assistant",
                        "parts": [
                            {"type": "tool_call", "name": "price", "arguments": "{}"},
                            {"type": "reasoning", "content": "Hm."},
                        ],
                    }
                ]
            ),
            ["assistantprice({})", "assistant[reasoning] Hm."],
        ),
        (
            "gen_ai__system_instructions",
            [{"type": "text", "content": "Sell."}],
            ["systemSell."],
        ),
        (
            "gen_ai__input__messages",
            '[{"role": "user", "par',
            ['[{"role": "user", "par'],
        ),
        ("gen_ai__input__messages", 7, []),
    ],
)
def test_content_is_a_conversation(name: str, value: Any, lines: list[str]) -> None:
    """JSON or values become messages; truncated JSON is shown as it is."""
    text = trace(timelines([_span("chat", **{name: value})])[0])
    found = re.findall(r"<li class=.*?><b>(.*?)</b><span>(.*?)</span>", text)
    assert [unescape(role + text) for role, text in found] == lines
    assert name.replace("__", ".") not in text
