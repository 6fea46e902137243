"""A Prometheus over loopback that answers from samples, as the real one does.

It knows the few expressions that the commands of money ask. In
``tests/e2e/test_report.py`` a real one is asked.
"""

from __future__ import annotations

import json
import operator
import re
from bisect import bisect_right
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from report_servers import answering

from otel_callbacks.cli.report.spending import matchers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Samples = list[tuple[float, float]]
"""Times and values."""

_TIME = operator.itemgetter(0)
_ASKED = re.compile(
    r"(?P<count>count\()?(?:(?P<function>[a-z_]+)\()?(?P<name>[a-z_]*)"
    r"(?:\{(?P<labels>.*)\})?\[(?P<seconds>\d+)s\]\)*(?P<above> > 0)?"
)


def every(seconds: float, start: float, end: float, grown: Any) -> Samples:
    """Return samples at a distance; ``grown`` says the value for a time."""
    times = [start + seconds * n for n in range(int((end - start) // seconds) + 1)]
    return [(time, float(grown(time))) for time in times]


@contextmanager
def prometheus(
    series: Sequence[tuple[Mapping[str, str], Samples]], **more: Any
) -> Iterator[str]:
    """Serve series, whose labels hold their names, and give the address.

    Args:
        series: Labels and samples.
        more: What stands in each answer beside its data, such as warnings.
    """

    def answer(path: str) -> tuple[int, str]:
        parts = urlsplit(path)
        parameters = {name: one[0] for name, one in parse_qs(parts.query).items()}
        query = _ASKED.fullmatch(parameters["query"])
        assert query is not None, parameters["query"]
        times = [float(parameters.get("time", 0))]
        if is_range := parts.path.endswith("query_range"):
            start, end, step = (
                float(parameters[key]) for key in ("start", "end", "step")
            )
            times = [start + step * n for n in range(int((end - start) / step) + 1)]
        result: list[dict[str, Any]] = []
        for labels, samples in _chosen(series, query):
            points = _points(query, samples, times)
            if points:
                is_one = query["function"] and not is_range
                values: Any = {"value": points[0]} if is_one else {"values": points}
                hidden = "__name__" if query["function"] else ""
                metric = {key: text for key, text in labels.items() if key != hidden}
                result.append({"metric": metric, **values})
        if query["count"] and result:
            found = {at for one in result for at, _ in one.get("values", ())}
            counted = [(at, "1") for at in sorted(found)]
            values = {"values": counted} if is_range else {"value": [0, "1"]}
            result = [{"metric": {}, **values}]
        content = {"status": "success", "data": {"result": result}, **more}
        return 200, json.dumps(content)

    with answering(answer) as (url, _):
        yield url


def _chosen(
    series: Sequence[tuple[Mapping[str, str], Samples]], query: re.Match[str]
) -> list[tuple[Mapping[str, str], Samples]]:
    """Return the series that an expression selects."""
    chosen = matchers(query["labels"]) if query["labels"] else ()
    if query["name"]:
        chosen += matchers(f'__name__="{query["name"]}"')
    return [one for one in series if all(each.holds(one[0]) for each in chosen)]


def _points(
    query: re.Match[str], samples: Samples, times: list[float]
) -> list[tuple[float, str]]:
    """Return what an expression gives for one series at some times."""
    found = []
    for time in times:
        start = bisect_right(samples, time - int(query["seconds"]), key=_TIME)
        inside = samples[start : bisect_right(samples, time, key=_TIME)]
        if query["function"] is None:
            return [(at, str(value)) for at, value in inside]
        if inside:
            value = _value(query["function"], [one[1] for one in inside])
            if value or not query["above"]:
                found.append((round(time, 3), str(value)))
    return found


def _value(function: str, values: list[float]) -> float:
    """Return what a function gives for the values of a range."""
    return {
        "last_over_time": values[-1],
        "resets": sum(b < a for a, b in pairwise(values)),
        "changes": sum(b != a for a, b in pairwise(values)),
    }[function]
