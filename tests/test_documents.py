"""What the documents say is so: names, defaults, links, and the README's example."""

from __future__ import annotations

import ast
import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from test_layering import ARROWS
from waiting import WAIT_S

# The pages are compared with the tables of the code.
from otel_callbacks import _semconv as semconv
from otel_callbacks._content.capture import CONTENT, REDACT
from otel_callbacks._events import EventSink
from otel_callbacks._export.otlp import LOGS, METRICS, TRACES
from otel_callbacks._metrics.prometheus import PrometheusSink
from otel_callbacks._metrics.series import BASE, SERIES, series_of
from otel_callbacks._records import DETAILS
from otel_callbacks._runs.lost import REASONS
from otel_callbacks._spans.sink import SpanSink
from otel_callbacks.settings import _READ_BY_THE_SDK, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_callbacks.testing import FakeOpenAI

_ROOT: Final = Path(__file__).parent.parent
_DOCS: Final = _ROOT / "docs"
_PACKAGE: Final = _ROOT / "otel_callbacks"
_PAGES: Final = (
    _ROOT / "README.md",
    _ROOT / "CHANGELOG.md",
    _ROOT / "CONTRIBUTING.md",
    *sorted(_DOCS.glob("*.md")),
)

_CODE: Final = re.compile(r"`([^`]+)`")
_LINK: Final = re.compile(r"\]\(([^)\s]+)\)|(?:href|src)=\"([^\"]+)\"")
_BLOCK: Final = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_EXTERNAL: Final = re.compile(r"[a-z]+:", re.IGNORECASE)
_NOT_IN_A_HEADING: Final = re.compile(r"[^\w\- ]")

# Commands, not the handler: they have a `trouble` of their own, or emit nothing.
_OUTSIDE: Final = ("cli", "testing")
# What uses names of attributes for labels.
_LABELS_ONLY: Final = ("_setting_values.py", "_metrics/series.py", "_metrics/store.py")

# Written in two parts, so that this file does not name what it looks for.
_MACHINES: Final = ("/" + "work/", "/" + "root/", "/" + "tmp/v", "/" + "home/runner")
_HOSTS: Final = ("pypi" + ".org", "pythonhosted" + ".org", "proxy.golang" + ".org")


def _page(name: str) -> str:
    """Return a page under docs."""
    return (_DOCS / name).read_text(encoding="utf-8")


def _rows(text: str, first_cell: str) -> list[list[str]]:
    """Return the rows of every table whose head begins with this cell."""
    rows: list[list[str]] = []
    inside = False
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.startswith("|"):
            inside = False
        elif cells[0] == first_cell:
            inside = True
        elif inside and not cells[0].startswith("---"):
            rows.append(cells)
    return rows


def _names(cells: list[list[str]]) -> list[str]:
    """Return the code words of the first cells."""
    return [name for row in cells for name in _CODE.findall(row[0])]


def _sources() -> Iterator[tuple[str, ast.Module]]:
    """Yield the modules of the package that emit something, by their path in it."""
    for path in sorted(_PACKAGE.rglob("*.py")):
        name = path.relative_to(_PACKAGE).as_posix()
        if not name.startswith(_OUTSIDE):
            yield name, ast.parse(path.read_text(encoding="utf-8"))


def _labels(cell: str) -> tuple[str, ...]:
    """Return the labels of a table's cell, ``base`` written out."""
    base = BASE if cell.startswith("base") else ()
    return (*base, *_CODE.findall(cell))


def _where() -> set[str]:
    """Return every place that the package counts failures at."""
    found = {SpanSink.name, PrometheusSink.name, EventSink.name, CONTENT, REDACT}
    for signal in (TRACES, METRICS, LOGS):
        found |= {signal.where, signal.full} - {""}
    for _, tree in _sources():
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in {"trouble", "oddity"}
                and isinstance(node.args[0], ast.Constant)
            ):
                found.add(str(node.args[0].value))
    return found


def _span_attributes() -> set[str]:
    """Return every attribute that the package writes on spans."""
    used = {
        node.attr
        for name, tree in _sources()
        if name not in _LABELS_ONLY
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "semconv"
    }
    found = (getattr(semconv, name) for name in used)
    values = {value for value in found if isinstance(value, str) and "." in value}
    values -= {semconv.DETAILS_EVENT, semconv.EXCEPTION_EVENT}
    values -= {semconv.OURS, semconv.SCHEMA_URL}
    for one in semconv.REGISTRIES.values():
        values |= {one.cache_write, *one.modalities.values()}
    return values


def _shown(default: object) -> str:
    """Return a default as the page writes it."""
    if default in {None, ""}:
        return "not set"
    if isinstance(default, bool):
        return str(default).lower()
    return f"{default:g}" if isinstance(default, float) else str(default)


def _tracked() -> list[Path]:
    """Return the files of the repository, tracked and new ones."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],  # noqa: S607
        cwd=_ROOT,
        check=True,
        capture_output=True,
        timeout=WAIT_S,
    ).stdout.decode()
    paths = (_ROOT / name for name in listed.split("\0") if name)
    return [path for path in paths if path.is_file()]


def _anchors(page: Path) -> set[str]:
    """Return the anchors that a page's headings make."""
    text = _BLOCK.sub("", page.read_text(encoding="utf-8"))
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {
        _NOT_IN_A_HEADING.sub("", title.lower()).replace(" ", "-") for title in titles
    }


def _links(page: Path) -> Iterator[str]:
    """Yield the links of a page that lead into the repository."""
    text = _BLOCK.sub("", page.read_text(encoding="utf-8"))
    for in_brackets, in_tag in _LINK.findall(text):
        target = in_brackets or in_tag
        if not _EXTERNAL.match(target):
            yield target


def _example() -> tuple[int, str]:
    """Return the first Python block of the README and the line it starts at."""
    readme = (_ROOT / "README.md").read_text(encoding="utf-8")
    before, _, rest = readme.partition("```python\n")
    return before.count("\n") + 1, rest.partition("```")[0]


def test_the_table_has_every_series_and_no_other() -> None:
    """Series, types and labels are exactly those of the code."""
    rows = _rows(_page("series.md"), "series")
    documented = [
        (name, row[1], _labels(row[2])) for row in rows for name in _names([row])
    ]

    assert documented == [
        (series.name, series.kind, series.labels) for series in SERIES
    ]


def test_the_readme_names_series_that_exist() -> None:
    """Its short table has existing series with their types."""
    text = (_ROOT / "README.md").read_text(encoding="utf-8")
    documented = [(_names([row])[0], row[1]) for row in _rows(text, "series")]

    assert 5 <= len(documented) <= 8
    assert set(documented) <= {(series.name, series.kind) for series in SERIES}


def test_the_architecture_draws_the_house_as_it_is() -> None:
    """Its table has each package and root module, from the bottom layer up."""
    documented = _names(_rows(_page("architecture.md"), "package"))
    house = {
        path.stem
        for path in _PACKAGE.iterdir()
        if (path.suffix == ".py" or (path / "__init__.py").exists())
    }

    assert set(documented) == house - {"__init__"}
    assert [name for name in documented if name in ARROWS] == [
        name for name in ARROWS if name != "__init__"
    ]


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: str(page.name))
def test_modules_that_a_page_names_exist(page: Path) -> None:
    """Every module that a page names is a file."""
    text = page.read_text(encoding="utf-8")
    named = re.findall(r"`(?:otel_callbacks/)?(_[a-z]+/[a-z_/]+(?:\.py)?)`", text)
    paths = [_PACKAGE / name.removesuffix(".py") for name in named]

    assert not [p for p in paths if not (p.is_dir() or p.with_suffix(".py").exists())]


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: str(page.name))
def test_lines_are_short(page: Path) -> None:
    """Lines have at most 120 characters, except in tables, code, pictures and links."""
    text = _BLOCK.sub("", page.read_text(encoding="utf-8"))
    long = [
        line
        for line in text.splitlines()
        if len(line) > 120 and not line.startswith(("|", "![", "<")) and " " in line
    ]

    assert not long


def test_no_page_names_a_series_that_does_not_exist() -> None:
    """The page of series names only series of the code."""
    named = re.findall(
        r"\b(?:otel_callbacks_\w+|gen_ai_(?:client|execute|invoke|workflow)_\w+)",
        _page("series.md"),
    )
    samples = {
        series.name + suffix
        for registry in semconv.REGISTRIES.values()
        for series in series_of(registry)
        for suffix in ("", "_bucket", "_sum", "_count")
    }

    labels = {label for series in SERIES for label in series.labels}
    assert set(named) <= samples | labels


def test_every_reason_of_a_lost_run_is_documented() -> None:
    """The table of reasons has all of them, and no other."""
    rows = _rows(_page("series.md"), "`reason`")

    assert sorted(_names(rows)) == sorted(REASONS)


def test_every_place_of_a_failure_is_documented() -> None:
    """The table of places has every value of the label ``where``, and no other."""
    rows = _rows(_page("series.md"), "`where`")

    assert sorted(_names(rows)) == sorted(_where())


@pytest.mark.parametrize(
    ("label", "values"),
    [("error_class", semconv.ERROR_CLASSES), ("detail", DETAILS)],
    ids=["error_class", "detail"],
)
def test_every_value_of_a_closed_set_is_documented(
    label: str, values: tuple[str, ...]
) -> None:
    """The row of a label has the complete set of its values."""
    rows = _rows(_page("series.md"), "label")
    documented = next(row[1] for row in rows if row[0] == f"`{label}`")

    assert sorted(_CODE.findall(documented)) == sorted(values)


def test_the_tables_have_every_span_attribute_and_no_other() -> None:
    """Every attribute that the package writes is in one table row, once."""
    documented = _names(_rows(_page("spans.md"), "attribute"))

    assert sorted(documented) == sorted(_span_attributes())


def test_the_tables_have_every_setting_with_its_default() -> None:
    """Variables, defaults and field names are exactly those of `Settings`."""
    rows = [row for row in _rows(_page("settings.md"), "variable") if len(row) == 4]
    documented = {tuple(_CODE.findall(cell)[0] for cell in row[:3]) for row in rows}

    assert documented == {
        (field.metadata["variable"], _shown(field.default), field.name)
        for field in dataclasses.fields(Settings)
    }
    assert len(rows) == len(documented)


def test_the_validated_variables_of_the_sdk_are_documented() -> None:
    """The table of OpenTelemetry's own variables has all that are validated."""
    rows = [row for row in _rows(_page("settings.md"), "variable") if len(row) == 2]

    # Settings do not say which of their variables the SDK reads.
    assert sorted(_names(rows)) == sorted(
        (*_READ_BY_THE_SDK, "OTEL_TRACES_SAMPLER_ARG")
    )
    assert "`OTEL_EXPORTER_OTLP_TRACES_PROTOCOL`" in _page("settings.md")


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link leads to a file, and to a heading in it."""
    broken = []
    for link in _links(page):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            broken.append(link)

    assert broken == []


def test_no_file_names_a_machine_or_an_index() -> None:
    """No file has a path of one machine or the host of a package index."""
    unwanted = re.compile("|".join(map(re.escape, (*_MACHINES, *_HOSTS))))
    found = []
    for path in _tracked():
        text = path.read_bytes().decode("utf-8", "ignore")
        name = path.relative_to(_ROOT).as_posix()
        found += [f"{name}: {match.group()}" for match in unwanted.finditer(text)]

    assert found == []


def test_the_example_is_short_and_early() -> None:
    """The README's first Python block has 12 lines at most, by line 25."""
    line, example = _example()

    assert line <= 25
    assert 0 < len(example.splitlines()) <= 12


@pytest.mark.slow
def test_the_example_runs_as_it_stands(server: FakeOpenAI) -> None:
    """The README's first Python block runs as it is and makes its call."""
    _, example = _example()
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith("OTEL_")},
        "OPENAI_BASE_URL": server.base_url,
        "OPENAI_API_KEY": "none",
        "OTEL_TRACES_EXPORTER": "none",
        "OTEL_EXPORTER_PROMETHEUS_PORT": "0",
        "PYTHONIOENCODING": "utf-8",
    }
    ran = subprocess.run(  # noqa: S603 -- our own example
        [sys.executable, "-c", example],
        env=environment,
        check=False,
        capture_output=True,
        timeout=WAIT_S,
    )

    assert ran.returncode == 0, ran.stderr.decode()
    assert len(ran.stdout.decode().splitlines()) >= len(server.requests) >= 1
