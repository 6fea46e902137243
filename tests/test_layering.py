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
NO_LINES = 300
CALLBACK_LINES = 12

# What the records' side may know of the package: nothing of payloads or sinks.
CORE = {
    "accounts",
    "budgets",
    "counts",
    "echoes",
    "forks",
    "health",
    "lost",
    "operations",
    "reaper",
    "run",
    "runs",
    "semconv",
    "spending",
    "tasks",
}
# Part -> the parts of the package that it may import. Whatever is not named here is
# a part of its own, found by its first name: payloads, sinks, cli, testing.
ARROWS = {
    "operations": set(),
    "semconv": set(),
    "setting_values": set(),
    "sdk_variables": {"setting_values"},
    "label_choices": {"semconv", "setting_values"},
    "settings": {"label_choices", "setting_values"},
    "forks": set(),
    "counts": {"forks"},
    "budgets": {"operations"},
    "spending": {"operations"},
    "accounts": {"budgets", "forks", "operations", "spending"},
    "echoes": set(),
    "health": {"forks"},
    "run": {"operations", "semconv", "tasks"},
    "tasks": {"run"},
    "reaper": {"run"},
    "lost": {"operations", "reaper", "run", "tasks"},
    "runs": {"echoes", "forks", "health", "lost", "operations", "run"},
    "payloads": {"operations", "payloads", "semconv"},
    "prices": {"operations", "prices", "semconv", "setting_values"},
    "sinks": {*CORE, "label_choices", "prices", "settings", "sinks"},
    "lifecycle": {
        "accounts",
        "label_choices",
        "operations",
        "payloads",
        "run",
        "semconv",
        "sinks",
    },
    "handler": {
        "health",
        "lifecycle",
        "operations",
        "payloads",
        "semconv",
        "settings",
        "sinks",
    },
    "hook": {
        "stream_ids",
        "accounts",
        "handler",
        "health",
        "lifecycle",
        "neighbours",
        "settings",
        "sinks",
    },
    "neighbours": {"health"},
    "stream_ids": set(),
    "embedding_answers": {"payloads"},
    "embeddings": {
        "embedding_answers",
        "handler",
        "hook",
        "operations",
        "payloads",
        "semconv",
        "sinks",
    },
    "embedding_classes": {"embedding_answers", "embeddings", "hook", "payloads"},
    "instrument": {"embedding_classes", "handler", "hook", "setting_values"},
    "instrumentor": {"instrument", "settings"},
    "accounting": {"accounts", "budgets", "hook", "spending"},
    "logs": {"sinks"},
    "event_export": {"forks", "health"},
    "exporting": {"forks", "health"},
    "metric_export": {"forks", "health", "sinks", "settings"},
    "configure": {
        "event_export",
        "exporting",
        "handler",
        "metric_export",
        "sdk_variables",
        "setting_values",
        "settings",
    },
    "__init__": {
        "accounting",
        "configure",
        "embeddings",
        "handler",
        "instrument",
        "setting_values",
        "settings",
    },
}
# Who may import what from outside; everyone else may not.
OUTSIDE = {
    "opentelemetry.sdk": {
        "configure",
        "event_export",
        "exporting",
        "metric_export",
        "testing",
        "cli",
    },
    "opentelemetry": {
        "configure",
        "event_export",
        "exporting",
        "instrumentor",
        "logs",
        "metric_export",
        "sinks",
        "testing",
        "cli",
    },
    "prometheus_client": {"configure", "sinks", "testing", "cli"},
    "langchain_core": {
        "embeddings",
        "embedding_classes",
        "handler",
        "hook",
        "logs",
        "payloads",
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
    "test_field_troubles",
    "test_graph_tree",
    "test_layering",
    "test_lost_runs",
    "test_multiprocess_objects",
    "test_no_leak",
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
    """A module knows only the parts that its own part may know."""
    known = {
        name.split(".")[1]
        for name in imported(path, also_for_types=False)
        if name.startswith("otel_callbacks.")
    }
    assert known <= ARROWS[part_of(path)]


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_outside_is_known_where_it_is_dealt_with(path: Path) -> None:
    """The handler knows LangChain and not OpenTelemetry, the sinks the reverse."""
    names = set(imported(path, also_for_types=False))
    for library, allowed in OUTSIDE.items():
        if part_of(path) not in allowed:
            assert not [n for n in names if n.split(".")[0] == library or n == library]
            assert not [n for n in names if n.startswith(f"{library}.")]


@pytest.mark.parametrize(
    "folder", ["otel_callbacks", "deploy", "benchmarks", "examples"]
)
def test_modules_are_short_and_say_what_they_are_for(folder: str) -> None:
    """No module has more than 300 lines, and each has a docstring."""
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
    assert len(callbacks) >= 15
    for callback in callbacks:
        first, last = callback.body[1], callback.body[-1]
        assert (last.end_lineno or 0) - first.lineno < CALLBACK_LINES, callback.name


def test_each_test_module_is_named_after_a_module() -> None:
    """Whoever looks for a module's tests finds them by its name."""
    parts = ("", "payloads", "prices", "sinks", "testing")
    for folder in (*parts, "cli", "cli/doctor", "cli/money"):
        for path in (ROOT / "tests" / folder).glob("test_*.py"):
            name = path.stem.removeprefix("test_")
            module = PACKAGE / folder.split("/")[0] / f"{name}.py"
            known = module.exists() or path.stem in OF_A_PROMISE
            package = name in {"cli", "pipeline", "init"}  # tests of an __init__.py
            assert known or package, path
