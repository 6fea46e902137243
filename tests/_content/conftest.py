"""Content as it is on spans, held against the schemas of the conventions."""

from __future__ import annotations

import json
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from reporting import Reporter

from otel_callbacks import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_callbacks.testing import Span

_TEXT = ("gen_ai.retrieval.query.text",)
_CONTENT = (
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "gen_ai.system_instructions",
    "gen_ai.tool.definitions",
    "gen_ai.tool.call.arguments",
    "gen_ai.tool.call.result",
    "gen_ai.retrieval.documents",
)


class Content:
    """Reports runs as `Reporter` does, and returns the content of their spans."""

    def __init__(
        self, reporter: Reporter, check_schema: Callable[[str, Any], None]
    ) -> None:
        self._reporter = reporter
        self._check_schema = check_schema

    def __getattr__(self, kind: str) -> Any:
        """Return what reports a kind of run: ``call``, ``tool`` and so on."""
        return partial(self._report, getattr(self._reporter, kind))

    @property
    def errors(self) -> dict[str, int]:
        """How often content could not be read, by the place."""
        return self._reporter.errors

    def _report(
        self, report: Callable[..., Span], *payloads: Any, **more: Any
    ) -> dict[str, Any]:
        """Report a run, and return its span's content."""
        found = {}
        for name, value in report(*payloads, **more)["attributes"].items():
            if name in _CONTENT:
                found[name] = json.loads(value)
                self._check_schema(name, found[name])
            elif name in _TEXT or name.startswith("otel_callbacks.content."):
                found[name] = value
        return found


@pytest.fixture
def content_of(check_schema: Callable[[str, Any], None]) -> Iterator[Any]:
    """Return what makes a `Content` for some settings and a redaction."""
    with ExitStack() as stack:

        def make(redact: Any = None, **settings: Any) -> Content:
            settings = {"capture_content": "SPAN_ONLY", "strict": True, **settings}
            reporter = Reporter(Settings(**settings), redact)
            return Content(stack.enter_context(reporter), check_schema)

        yield make


@pytest.fixture
def content(content_of: Callable[..., Content]) -> Content:
    """Return content with the default settings, where errors are raised."""
    return content_of()
