"""Each line that the package can log has its place on the page of troubleshooting."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parent.parent
PACKAGE: Final = ROOT / "otel_callbacks"
PAGE: Final = ROOT / "docs" / "troubleshooting.md"
# Commands print, and what is for tests is read by its author.
APART: Final = {"cli", "testing"}
LOGGING: Final = {"warning", "error", "oddity", "log_once", "log"}
HOLE: Final = "\0"


def literal(node: ast.expr, known: dict[str, str]) -> str:
    """Return a message with holes where values are filled in."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(literal(part, known) for part in parts)
        case ast.BinOp(left=left):
            return literal(left, known)
        case ast.IfExp(body=body, orelse=other):
            return f"{literal(body, known)}\n{literal(other, known)}"
        case ast.Name(id=name):
            return known.get(name, HOLE)
        case _:
            return HOLE


def messages() -> Iterator[tuple[str, str]]:
    """Yield where a line is logged, and its words."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.relative_to(PACKAGE).parts[0] in APART:
            continue
        known: dict[str, str] = {}
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.AnnAssign) and node.value is not None:
                known[ast.unparse(node.target)] = literal(node.value, known)
            if not (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in LOGGING
            ):
                continue
            for text in max((literal(a, known) for a in node.args), key=len).split(
                "\n"
            ):
                words = re.sub("%[sd]", HOLE, text.removeprefix("otel_callbacks: "))
                if len(words.strip(HOLE)) > 1:
                    yield f"{path.name}:{node.lineno}", words


def headings() -> list[str]:
    """Return the longest part of each heading that has no value in it."""
    found = re.findall(r"^## `(.+)`$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    values = r"\.\.\.|\(|\b[A-Z]+\b|\b\d+\b|\bspans\b"
    parts = [re.split(values, heading) for heading in found]
    return [max(part, key=len).strip(" :") for part in parts]


@pytest.mark.parametrize(
    ("place", "message"), [pytest.param(*one, id=one[0]) for one in messages()]
)
def test_it_is_on_the_page(place: str, message: str) -> None:
    """Every log line is on the page of log lines."""
    assert any(part in message for part in headings()), f"{place}: {message}"


def test_messages_are_found() -> None:
    """The check finds a message that is not on the page."""
    assert len(list(messages())) > 20
    assert all(len(part) > 10 for part in headings())
