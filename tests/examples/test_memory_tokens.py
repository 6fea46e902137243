"""What four kinds of memory cost: the curves, the counters, the picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Ran, Run

MEMORIES = ("buffer", "window", "summary", "summary buffer")
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the picture goes."""
    return tmp_path_factory.mktemp("picture") / "memory.png"


@pytest.fixture(scope="module")
def ran(run_example: Run, picture: Path) -> Ran:
    """The example, run once."""
    return run_example("memory_tokens", str(picture))


def _curves(ran: Ran) -> dict[str, list[int]]:
    """Return the tokens of each round as printed, by memory."""
    found = {}
    for line in ran.output.splitlines()[: len(MEMORIES)]:
        head, _, rounds = line.partition(":")
        found[head.rsplit(maxsplit=1)[0].strip()] = [
            int(each) for each in rounds.split()
        ]
    return found


def test_curves_are_what_memories_do(ran: Ran) -> None:
    """A buffer grows in every round; a window and a summary stay where they are."""
    curves = _curves(ran)
    assert tuple(curves) == MEMORIES
    assert {len(rounds) for rounds in curves.values()} == {20}
    buffer = curves["buffer"]
    assert buffer == sorted(set(buffer))
    for memory in ("window", "summary"):
        assert max(curves[memory][4:]) - min(curves[memory][4:]) < 10
        assert curves[memory][-1] < buffer[-1] / 3
    assert curves["summary"][0] > buffer[0]


def test_curves_equal_the_spans(ran: Ran) -> None:
    """All curves together are the tokens of all calls, to the token."""
    spent = sum(
        span.attributes[f"gen_ai.usage.{kind}_tokens"]
        for span in ran.spans
        for kind in ("input", "output")
    )
    assert sum(map(sum, _curves(ran).values())) == spent


def test_counters_are_labelled(ran: Ran) -> None:
    """Prometheus reads the sum of each curve under the memory's name."""
    for memory, rounds in _curves(ran).items():
        counted = sum(
            float(line.split()[1])
            for line in ran.output.splitlines()
            if line.startswith("  tokens_total") and line.endswith(f"memory={memory}")
        )
        assert counted == sum(rounds)


def test_picture_is_drawn(ran: Ran, picture: Path) -> None:
    """The picture is a PNG, and the output says where it is."""
    assert f"drawn to {picture}" in ran.output
    content = picture.read_bytes()
    assert content.startswith(PNG)
    assert len(content) > 20_000


def test_documents_show_the_picture() -> None:
    """The picture in the documents is there, and says how it was drawn."""
    root = Path(__file__).parents[2]
    assert (root / "docs/pictures/memory_tokens.png").read_bytes().startswith(PNG)
    page = (root / "examples/README.md").read_text(encoding="utf-8")
    assert "../docs/pictures/memory_tokens.png" in page
