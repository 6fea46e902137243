"""The plot of ``memory_tokens.py``: tokens per round, one line for each memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from matplotlib.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes

# Distinct without colours, too: by dashes, and by the names at the ends of lines.
_STYLES: Final = {
    "buffer": ("#b3261e", "-"),
    "window": ("#1f5fa8", "--"),
    "summary": ("#2e7d32", "-."),
    "summary buffer": ("#7b4397", ":"),
}
_APART: Final = 0.045  # between two names, as a fraction of the axis


def draw(tokens: Mapping[str, Sequence[float]], path: str) -> str:
    """Plot the tokens of each round to a PNG, and return its path.

    Args:
        tokens: The tokens of each round, by the memory's name.
        path: The path of the picture.
    """
    figure = Figure(figsize=(9, 5.2), dpi=150, layout="constrained")
    axes = figure.subplots()
    for memory, rounds in tokens.items():
        colour, dashes = _STYLES[memory]
        numbers = range(1, len(rounds) + 1)
        total = f"{memory}: {sum(rounds):,.0f} tokens in all"
        axes.plot(numbers, rounds, dashes, color=colour, linewidth=2, label=total)
    _name_ends(axes, tokens)
    count = len(tokens["buffer"])
    times = tokens["buffer"][-1] / tokens["window"][-1]
    axes.set_title(
        f"By round {count} the whole history costs {times:.0f} times a window.\n"
        f"A summary is dearer than the history until round {_even(tokens)}.",
        loc="left",
    )
    axes.set_xlabel("round of the conversation")
    axes.set_ylabel("tokens of the round, in and out, summaries included")
    axes.set_xlim(1, count)
    axes.set_ylim(0)
    axes.set_xticks([1, *range(5, count + 1, 5)])
    axes.grid(axis="y", color="#dddddd")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="upper left")
    figure.savefig(path)
    return path


def _even(tokens: Mapping[str, Sequence[float]]) -> int:
    """Return the last round in which a summary costs more than the whole history."""
    pairs = zip(tokens["summary"], tokens["buffer"], strict=True)
    return max(
        (at for at, (one, other) in enumerate(pairs, 1) if one > other), default=0
    )


def _name_ends(axes: Axes, tokens: Mapping[str, Sequence[float]]) -> None:
    """Write each line's name at its end, without overlaps."""
    height = max(max(rounds) for rounds in tokens.values())
    free = 0.0
    for memory, rounds in sorted(tokens.items(), key=lambda item: item[1][-1]):
        place = max(rounds[-1], free)
        free = place + height * _APART
        axes.annotate(
            memory,
            (len(rounds), place),
            xytext=(6, 0),
            textcoords="offset points",
            color=_STYLES[memory][0],
            va="center",
            annotation_clip=False,
        )
