"""Data goes one way, and each module has one reason to change."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "otel_callbacks"
MODULES = sorted(PACKAGE.rglob("*.py"))
NO_LINES = 500
CALLBACK_LINES = 12

LEAVES = {
    "_background",
    "_data",
    "_diagnostics",
    "_records",
    "_semconv",
    "_setting_values",
}
# Package or module -> the others that it may import. The order is that of the house,
# from the ground up: nothing imports what stands below it in this table.
ARROWS: dict[str, set[str]] = {
    "_data": set(),
    "_records": set(),
    "_semconv": set(),
    "_setting_values": {"_data", "_semconv"},
    "_background": set(),
    "_diagnostics": {"_background"},
    "settings": {"_semconv", "_setting_values"},
    "_readers": {"_data", "_records", "_semconv", "_setting_values"},
    "_content": {"_data", "_readers", "_records", "_semconv"},
    "_spend": LEAVES,
    "_runs": {*LEAVES, "_content", "_readers", "_spend", "settings"},
    "_spans": {*LEAVES, "_content", "_runs"},
    "_metrics": {*LEAVES, "_runs", "_spans", "settings"},
    "_events": {*LEAVES, "_spans"},
    "logs": {"_runs", "_spans"},
    "_export": {*LEAVES, "_metrics", "settings"},
    "_pipeline": {
        *LEAVES,
        "_events",
        "_metrics",
        "_runs",
        "_spans",
        "_spend",
        "settings",
    },
    "handler": {*LEAVES, "_content", "_pipeline", "_readers", "_runs", "settings"},
    "configure": {*LEAVES, "_content", "_export", "handler", "settings"},
    "_instrument": {
        *LEAVES,
        "_content",
        "_pipeline",
        "_readers",
        "_runs",
        "_spans",
        "_spend",
        "handler",
        "settings",
    },
    "accounting": {"_instrument", "_spend"},
    "__init__": {
        "_instrument",
        "_setting_values",
        "accounting",
        "configure",
        "handler",
        "settings",
    },
}
# Who may import what from outside; everyone else may not.
OUTSIDE = {
    "opentelemetry.sdk": {"_export", "_spans", "configure", "testing", "cli"},
    "opentelemetry": {
        "_events",
        "_export",
        "_instrument",
        "_metrics",
        "_pipeline",
        "_spans",
        "_spend",
        "configure",
        "logs",
        "testing",
        "cli",
    },
    "prometheus_client": {"_metrics", "_pipeline", "configure", "testing", "cli"},
    "langchain_core": {
        "_content",
        "_instrument",
        "_readers",
        "handler",
        "logs",
        "testing",
        "cli",
    },
    "langchain_openai": {"cli"},
}
# Tests of a promise instead of a module.
OF_A_PROMISE = {
    "test_bad_input",
    "test_content_on_spans",
    "test_documents",
    "test_every_setting",
    "test_limits_hold",
    "test_money_holds",
    "test_money_pages",
    "test_field_troubles",
    "test_graph_tree",
    "test_layering",
    "test_lost_runs",
    "test_multiprocess_objects",
    "test_never_waits",
    "test_loops",
    "test_no_leak",
    "test_no_secret_leaves",
    "test_live_work",
    "test_log_lines",
    "test_nothing_grows",
    "test_nothing_hangs",
    "test_public_names",
    "test_spend_truth",
    "test_streams_of_today",
    "test_tokens",
    "test_zero_code",
}


def part_of(path: Path) -> str:
    """Return the part of the package that a module belongs to."""
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imported(path: Path, *, also_for_types: bool) -> Iterator[str]:
    """Yield the names of the modules that a module imports."""
    tree = ast.parse(path.read_text())
    for_types: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for_types.update(ast.walk(node))
    for node in ast.walk(tree):
        if node in for_types and not also_for_types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


# The command line and the test tools stand above all others.
BELOW = [path for path in MODULES if part_of(path) not in {"cli", "testing"}]


@pytest.mark.parametrize("path", BELOW, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_arrows_go_one_way(path: Path) -> None:
    """A module imports only the packages that its package may import."""
    known = {
        name.split(".")[1]
        for name in imported(path, also_for_types=False)
        if name.startswith("otel_callbacks.")
    }
    assert known <= ARROWS[part_of(path)] | {part_of(path)}


def test_no_package_is_part_of_a_circle() -> None:
    """Each package imports only those above it in the table, so there is no circle."""
    places = {name: place for place, name in enumerate(ARROWS)}
    wrong = [
        (name, known)
        for name, arrows in ARROWS.items()
        for known in arrows
        if places[known] >= places[name]
    ]
    assert not wrong


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_outside_is_known_where_it_is_dealt_with(path: Path) -> None:
    """The handler imports LangChain and not OpenTelemetry; sinks the reverse."""
    names = set(imported(path, also_for_types=False))
    for library, allowed in OUTSIDE.items():
        if part_of(path) not in allowed:
            assert not [n for n in names if n.split(".")[0] == library or n == library]
            assert not [n for n in names if n.startswith(f"{library}.")]


@pytest.mark.parametrize(
    "folder", ["otel_callbacks", "deploy", "benchmarks", "examples"]
)
def test_modules_are_short_and_say_what_they_are_for(folder: str) -> None:
    """No module has more than 500 lines, and each has a docstring."""
    for path in (ROOT / folder).rglob("*.py"):
        text = path.read_text()
        assert len(text.splitlines()) <= NO_LINES, path
        assert ast.get_docstring(ast.parse(text)), path


def test_callbacks_translate_and_delegate() -> None:
    """The body of a callback has at most twelve lines."""
    tree = ast.parse((PACKAGE / "handler.py").read_text())
    callbacks = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name.startswith("on_")
    ]
    assert len(callbacks) >= 13
    for callback in callbacks:
        first, last = callback.body[1], callback.body[-1]
        assert (last.end_lineno or 0) - first.lineno < CALLBACK_LINES, callback.name


def test_each_package_has_a_folder_of_tests() -> None:
    """The test tree mirrors the package, so tests are found by name."""
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    folders = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir()}
    assert packages <= folders
    for path in (ROOT / "tests").glob("test_*.py"):
        name = path.stem.removeprefix("test_")
        known = [PACKAGE / f"{prefix}{name}.py" for prefix in ("", "_")]
        assert path.stem in OF_A_PROMISE or any(p.exists() for p in known), path
