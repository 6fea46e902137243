"""Tests each change of a cosmic-ray session in a fork of one warm process.

    python .ci/mutants.py SESSION COVERAGE SHARE

The working directory is a clone that may be written to. One run of the tests with
coverage tells which tests reach which line, and how long each takes. A change inside a
function is made in a fork of a collected pytest session by exchanging the function's
code; any other change in a fork that imports the changed file. Only the tests that
reach the changed line run, those of the same module first, then the fastest, and at
most `BUDGET` seconds of them. `mutants-equivalent.txt` names changes that nobody sees.
"""

from __future__ import annotations

import ast
import contextlib
import difflib
import functools
import gc
import importlib
import json
import os
import random
import re
import select
import signal
import sys
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any

import coverage
import pytest
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator
from cosmic_ray.work_db import WorkDB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

NOTICED, NOT_MADE = 1, 2
OUTCOMES = {0: "survived", NOTICED: "killed", NOT_MADE: "not made", None: "timeout"}
BUDGET, SLOW = 8.0, 2.0
HEAVY = ("google", "grpc", "httpx", "httpx2", "jsonschema", "langchain",
         "langchain_core", "langchain_openai", "langgraph", "langsmith", "numpy",
         "openai", "opentelemetry", "prometheus_client", "genai_prices", "pydantic",
         "requests", "rich", "starlette", "tiktoken", "uvicorn", "yaml")  # fmt: skip
FAST = "not slow and not e2e and not kubernetes and not scale"
PYTEST = ("-q", "-p", "no:cacheprovider", "-p", "no:randomly", "--basetemp=../tests",
          "-W", "ignore::pytest.PytestAssertRewriteWarning", "-m", FAST)  # fmt: skip
REPLACED = re.compile("core/Replace(Binary|Comparison)Operator")
# Of the eleven replacements of one operator, those that no other one implies.
SUFFICIENT = {
    f"core/Replace{kind}Operator_{old}_{new}"
    for kind, pairs in {
        "Binary": "Add_Sub Sub_Add Mul_Div Div_Mul FloorDiv_Div Mod_FloorDiv Pow_Mul "
        "BitOr_BitAnd BitAnd_BitOr BitXor_BitAnd LShift_RShift RShift_LShift",
        "Comparison": "Eq_NotEq Eq_LtE Eq_GtE NotEq_Eq NotEq_Lt NotEq_Gt Lt_LtE "
        "Lt_NotEq LtE_Lt LtE_Eq Gt_GtE Gt_NotEq GtE_Gt GtE_Eq Is_IsNot IsNot_Is",
    }.items()
    for old, new in (pair.split("_") for pair in pairs.split())
}
# What tests other things than the core, in processes of its own.
OTHERS = [f"--ignore=tests/{name}" for name in
          ("backends", "chaos", "cli", "hosts", "setup", "stack", "testing",
           "test_documents.py")]  # fmt: skip
EQUIVALENT = Path(__file__).with_name("mutants-equivalent.txt")


@dataclass(frozen=True, slots=True)
class Change:
    """One mutation: where it is, what it does, which tests reach it."""

    module: str
    place: str
    old: str
    new: str
    code: str
    local: bool
    tests: tuple[str, ...]

    def __str__(self) -> str:
        """Return the change as it stands in the list of equivalent ones."""
        return f"{self.module} {self.place}\n- {self.old}\n+ {self.new}"


class _Behaviour(ast.NodeTransformer):
    """Removes what only type checkers and readers see; or functions' bodies, too."""

    def __init__(self, *, bodies: bool) -> None:
        self._bodies = bodies

    def visit_FunctionDef(self, node: Any) -> Any:
        node.returns = None
        every = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
        for argument in (*every, node.args.vararg, node.args.kwarg):
            if argument:
                argument.annotation = None
        # Whether an argument goes by position or name is no matter of tests.
        defaults = [*node.args.defaults, *filter(None, node.args.kw_defaults)]
        node.args = ast.arguments([], every, None, [], [], None, defaults)
        if not self._bodies:
            node.body = [ast.Pass()]
        return self.generic_visit(node)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815 -- named by ast

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        node.annotation = ast.Constant(None)
        return self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> Any:
        hidden = "__slots__" in ast.unparse(node.targets[0])
        return ast.Pass() if hidden else self.generic_visit(node)

    def visit_If(self, node: ast.If) -> Any:
        hidden = "TYPE_CHECKING" in ast.unparse(node.test)
        return ast.Pass() if hidden else self.generic_visit(node)


def _behaviour(code: str, *, bodies: bool = True) -> str:
    return ast.dump(_Behaviour(bodies=bodies).visit(ast.parse(code)))


def _place(tree: ast.Module, line: int) -> tuple[str, range]:
    """Return the function that holds a line, and the lines of its statement."""
    names: list[str] = []
    lines = range(line, line + 1)
    node: ast.AST = tree
    while True:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case):
                pattern = getattr(child, "pattern", child)
                end = getattr(child, "end_lineno", None) or child.body[-1].end_lineno
                if pattern.lineno <= line <= end:
                    break
        else:
            return ".".join(names) or "(module)", lines
        node = child
        body = getattr(child, "body", None)
        header = max(line, body[0].lineno - 1) if body else end
        lines = range(pattern.lineno, header + 1)
        if getattr(child, "name", None) and body and line >= body[0].lineno:
            names.append(child.name)


class _Tests:
    """Which tests reach a line, and how long each takes."""

    def __init__(self, data: str) -> None:
        measured = coverage.CoverageData(data)
        measured.read()
        self._data = measured
        # The run that measured may have had its clone elsewhere.
        self._files = {
            "otel_callbacks" + file.rpartition("/otel_callbacks")[2]: file
            for file in measured.measured_files()
        }
        self._seconds = json.loads(Path(data + ".times").read_text())

    @functools.cache  # noqa: B019 -- there is one for the whole run
    def _by_line(self, module: str) -> dict[int, list[str]]:
        return self._data.contexts_by_lineno(self._files[module])

    def reaching(self, module: str, lines: Iterable[int] | None) -> tuple[str, ...]:
        """Return the tests that reach any of the lines, or any line, the best first."""
        by_line = self._by_line(module)
        wanted = by_line if lines is None else lines
        names = {
            name.rpartition("|")[0] for line in wanted for name in by_line.get(line, ())
        }
        own = str(Path(module).parent).replace("otel_callbacks", "tests", 1)
        stem = f"test_{Path(module).stem}"
        rank = {
            name: (seconds > SLOW, stem not in name, not name.startswith(own), seconds)
            for name in names & self._seconds.keys()
            if (seconds := self.seconds(name)) is not None
        }
        chosen, total = [], 0.0
        for name in sorted(rank, key=rank.__getitem__):
            total += self.seconds(name)
            if total > BUDGET and chosen:
                break
            chosen.append(name)
        return tuple(chosen)

    def seconds(self, name: str) -> float:
        """Return how long a test takes, with coverage."""
        return float(self._seconds[name])

    def at_import(self, module: str, lines: Iterable[int]) -> bool:
        """Return whether importing the module runs any of the lines."""
        by_line = self._by_line(module)
        return any("" in by_line.get(line, ()) for line in lines)


@functools.cache
def _original(module: str) -> tuple[str, ast.Module, str, str]:
    source = Path(module).read_text(encoding="utf-8")
    tree = ast.parse(source)
    return source, tree, _behaviour(source), _behaviour(source, bodies=False)


def _changes(session: str, tests: _Tests, share: float) -> Iterator[Change]:
    """Return the changes of behaviour in a session, each once."""
    seen = set()
    with_db = WorkDB(session, mode=WorkDB.Mode.open)
    specs = [item.mutations[0] for item in with_db.work_items]
    for spec in sorted(specs, key=lambda spec: (str(spec.module_path), spec.start_pos)):
        name = spec.operator_name
        if REPLACED.match(name) and name not in SUFFICIENT:
            continue
        module = str(spec.module_path)
        # Always the same ones.
        if random.Random(f"{module}{spec}").random() >= share:  # noqa: S311
            continue
        source, tree, whole, outside = _original(module)
        code = mutate_code(source, get_operator(name)(), spec.occurrence)
        try:
            result = module, _behaviour(code)
        except SyntaxError:
            continue
        if result in seen or result[1] == whole:
            continue
        seen.add(result)
        place, lines = _place(tree, spec.start_pos[0])
        local = not tests.at_import(module, lines) and (
            _behaviour(code, bodies=False) == outside
        )
        if not local and "BitOr" in name:
            continue  # an alias of types
        diff = list(difflib.ndiff(source.splitlines(), code.splitlines()))
        old, new = (
            " ".join(line[2:].strip() for line in diff if line.startswith(sign))
            for sign in ("- ", "+ ")
        )
        reaching = tests.reaching(module, lines if local else None)
        yield Change(module, place, old, new, code, local, reaching)


def _fork(work: Callable[[], object], limit: float) -> int | None:
    """Return the exit status of work in a fork; None if the time is over."""
    child = os.fork()
    if not child:
        os.setpgid(0, 0)
        try:
            os._exit(NOTICED if work() else 0)
        except BaseException:  # noqa: BLE001 -- whatever it is, the change is noticed
            os._exit(NOTICED)
    descriptor = os.pidfd_open(child)
    ended = select.select([descriptor], [], [], limit)[0]
    os.close(descriptor)
    for process in (-child, child):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) if ended else None


class _Times:
    """Notes how long each passing test takes, and what all of them import."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._seconds: Counter[str] = Counter()
        self._failed: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._seconds[report.nodeid] += report.duration  # type: ignore[assignment]
        if not report.passed:
            self._failed.add(report.nodeid)

    def pytest_sessionfinish(self) -> None:
        passed = {k: v for k, v in self._seconds.items() if k not in self._failed}
        Path(self._file + ".times").write_text(json.dumps(passed))
        heavy = [name for name in sys.modules if name.split(".")[0] in HEAVY]
        Path(self._file + ".imports").write_text(json.dumps(heavy))


def _walk(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _walk(constant)


class _Session:
    """Tests local changes in forks of a collected session."""

    def __init__(self, changes: Sequence[Change], report: _Report) -> None:
        self._changes = changes
        self._report = report
        self._functions: dict[tuple[str, CodeType], list[FunctionType]] = defaultdict(
            list
        )

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self) -> None:
        """Find all functions, before conftest.py hides them from gc."""
        for thing in gc.get_objects():
            if isinstance(thing, FunctionType) and "otel_callbacks" in (
                thing.__code__.co_filename
            ):
                key = thing.__code__.co_filename, thing.__code__
                self._functions[key].append(thing)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Test each change instead of running the tests."""
        items = {item.nodeid: item for item in session.items}

        def run(change: Change, names: Iterable[str]) -> int:
            try:
                self._exchange(change)
            except ValueError:
                os._exit(NOT_MADE)
            chosen = [items[name] for name in names if name in items]
            for item, following in zip(chosen, [*chosen[1:], None], strict=True):
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            return 0

        # A test that fails without a change would kill every mutant.
        self._failures = Path("failures")
        self._failures.touch()
        names = sorted({name for change in self._changes for name in change.tests})
        first = self._changes[0]
        same = replace(first, code=Path(first.module).read_text(encoding="utf-8"))
        _fork(lambda: run(same, names), 3600)
        failing = set(self._failures.read_text().splitlines())
        self._report.say(f"{len(failing)} tests fail without a change", *failing)
        self._failures = None
        for change in self._changes:
            kept = tuple(name for name in change.tests if name not in failing)
            self._report.test(replace(change, tests=kept), run)
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """End the fork at its first failure."""
        if report.failed:
            if not self._failures:
                os._exit(NOTICED)
            with self._failures.open("a") as file:
                file.write(report.nodeid + "\n")

    def _exchange(self, change: Change) -> None:
        file = str(Path(change.module).resolve())
        source = Path(change.module).read_text(encoding="utf-8")
        pairs = zip(
            _walk(compile(source, file, "exec")),
            _walk(compile(change.code, file, "exec")),
            strict=True,
        )
        found = 0
        for old, new in pairs:
            if old != new:
                for function in self._functions.get((file, old), ()):
                    function.__code__ = new
                    found += 1
        if not found and change.code != source:
            raise ValueError(change)


class _Report:
    """Counts outcomes and prints survivors as they come."""

    def __init__(self, tests: _Tests) -> None:
        self._tests = tests
        self._out = os.fdopen(os.dup(1), "w")
        text = EQUIVALENT.read_text(encoding="utf-8") if EQUIVALENT.exists() else ""
        self._equivalent = set()
        for block in text.strip().split("\n\n") if text else ():
            place, old, *new, _reason = block.split("\n")
            self._equivalent |= {f"{place}\n{old}\n{line}" for line in new}
        self._unseen = set(self._equivalent)
        self._counts: dict[str, Counter[str]] = defaultdict(Counter)
        self._started = time.monotonic()

    def test(
        self, change: Change, run: Callable[[Change, Sequence[str]], object]
    ) -> None:
        """Test one change and print it if it survives."""
        if str(change) in self._equivalent:
            self._unseen.discard(str(change))
            outcome = "equivalent"
        else:
            expected = sum(map(self._tests.seconds, change.tests))
            ended = _fork(lambda: run(change, change.tests), 10 + 3 * expected)
            outcome = OUTCOMES.get(ended, "killed")
        self._counts[change.module][outcome] += 1
        if outcome in {"survived", "not made"}:
            self.say("", change, f"= {len(change.tests)} tests pass")

    def close(self) -> None:
        """Print the figures."""
        self.say("")
        for module, counts in sorted(self._counts.items()):
            figures = ", ".join(f"{v} {k}" for k, v in sorted(counts.items()))
            self.say(f"{module}: {sum(counts.values())} changes, {figures}")
        for change in sorted(self._unseen):
            if change.partition(" ")[0] in self._counts:
                self.say("", "is listed as equivalent, and was not made:", change)
        seconds = time.monotonic() - self._started
        self.say(f"{seconds / 60:.0f} minutes")

    def say(self, *lines: object) -> None:
        """Write lines at once: a fork must not write them again."""
        self._out.write("".join(f"{line}\n" for line in lines))
        self._out.flush()


def _import_changed(change: Change, names: Sequence[str]) -> int:
    sys.dont_write_bytecode = True
    Path(change.module).write_text(change.code, encoding="utf-8")
    return int(pytest.main([*PYTEST, "-x", *names]))


def main(session: str, data: str, share: str) -> None:
    """Measure unless measured, then test all changes."""
    sys.path.insert(0, "")
    os.environ["COVERAGE_FILE"] = data
    if not Path(data + ".imports").exists():
        options = [*PYTEST, *OTHERS, "--cov", "--cov-context=test", "--cov-report="]
        _fork(lambda: pytest.main(options, plugins=[_Times(data)]), 7200)
    for name in json.loads(Path(data + ".imports").read_text()):
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    tests = _Tests(data)
    changes = list(_changes(session, tests, float(share)))
    report = _Report(tests)
    for descriptor in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
    if _fork(lambda: pytest.main([*PYTEST, "-x", *changes[0].tests]), 300):
        report.say("The tests fail without a change.")
        return
    for change in changes:
        if not change.local:
            source = Path(change.module).read_text(encoding="utf-8")
            times = Path(change.module).stat()
            report.test(change, _import_changed)
            Path(change.module).write_text(source, encoding="utf-8")
            os.utime(change.module, ns=(times.st_atime_ns, times.st_mtime_ns))
    local = [change for change in changes if change.local]
    names = sorted({name for change in local for name in change.tests})
    files = sorted({name.partition("::")[0] for name in names})
    pytest.main([*PYTEST, *files], plugins=[_Session(local, report)])
    report.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
