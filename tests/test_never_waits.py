"""No callback waits for a lock: the rule of the architecture, read from the code."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import otel_callbacks

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(otel_callbacks.__file__).parent
# Commands and helpers of tests are no callbacks.
APART = {"cli", "testing"}

# Where something may wait, and why no callback, finalizer or signal handler gets there.
ALLOWED = {
    "_background.py:drain": "a scrape, a flush or a close waits for the thread, 5 s",
    "_background.py:_run": "the thread itself waits for work",
    # Behind the queues that a span, an event or a push is put into.
    "_export/ends.py:_on_sigterm": "the process ends; a thread sends, for seconds",
    "_export/providers.py:_end": "the process ends: until its deadline",
    "_export/providers.py:_flush": "an app flushes, or the process ends",
    "_export/sender.py:_work": "the thread itself waits for work",
    "_export/sender.py:join": "the process ends: until its deadline",
    "_export/sender.py:_stop": "the process ends: until its deadline",
    "_metrics/calls.py:locked": "a scrape, or the thread",
    "_metrics/calls.py:_update": "a scrape, or the thread",
    "_metrics/otlp.py:_note_births": "the thread that collects for a push, 1 ms",
    "_metrics/prometheus.py:collect": "a scrape",
    "_pipeline.py:pipeline": "an app makes a handler; its own thread may come again",
    "_pipeline.py:flush": "an app flushes, with a limit of its own",
    "configure.py:configure": "an app sets up; its own thread may come again",
    "configure.py:close": "an app closes its handler, or the process ends",
    "_instrument/switch.py:instrument": "an app switches it on",
    "_instrument/switch.py:uninstrument": "an app switches it off",
}
WAITS = {"acquire", "wait", "join", "result", "sleep"}


def waits(node: ast.AST) -> bool:
    """Say whether a statement may wait for another thread."""
    if isinstance(node, ast.With):
        return any("lock" in ast.unparse(item.context_expr) for item in node.items)
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    options = {option.arg: ast.unparse(option.value) for option in node.keywords}
    if node.func.attr == "get":
        return "timeout" in options
    if node.func.attr == "join" and isinstance(node.func.value, ast.Constant):
        return False  # of text
    return node.func.attr in WAITS and options.get("blocking") != "False"


def places() -> Iterator[str]:
    """Yield each function of ours that may wait."""
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if name.split("/")[0] in APART:
            continue
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) and any(
                map(waits, ast.walk(function))
            ):
                yield f"{name}:{function.name}"


def test_what_may_wait_is_known() -> None:
    """Each place that may wait has a reason why no callback reaches it."""
    assert set(places()) == set(ALLOWED)


def test_locks_are_renewed_at_a_fork() -> None:
    """Each module with a lock renews it in a forked child or gives a reason."""
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text().replace("ForkSafeLock()", "")
        if path.relative_to(PACKAGE).parts[0] in APART or "Lock()" not in text:
            continue
        assert "after_fork" in text or "register_at_fork" in text, path


def test_a_wait_is_seen() -> None:
    """The check finds a wait in a sample."""
    for text in (
        "with self._lock: pass",
        "lock.acquire()",
        "q.get(timeout=1)",
        "t.join()",
    ):
        assert any(map(waits, ast.walk(ast.parse(text)))), text
    for text in ("lock.acquire(blocking=False)", "', '.join(x)", "d.get('a')"):
        assert not any(map(waits, ast.walk(ast.parse(text)))), text
