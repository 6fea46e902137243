"""The increase of Prometheus counters in a period, and whether it is proven.

``increase()`` estimates at both ends of a period and at each restart. This module adds
up the values: by the minute at both ends, and sample by sample where a counter or its
process was reset. An increase that a gap hides is in no sum; the report names the gap.
"""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from datetime import UTC, datetime
from itertools import pairwise, product
from statistics import median
from typing import TYPE_CHECKING, Final, NamedTuple

from prometheus_client.samples import Sample

from otel_callbacks.cli._common import refuse
from otel_callbacks.cli.report import spending
from otel_callbacks.cli.report.spending import Prometheus, selector

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from otel_callbacks.cli.report.spending import Histories, Labels, Matcher, Points

    Target = tuple[str, str]

_MINUTE: Final = 60
_HOUR: Final = 3_600
_DAY: Final = 86_400
_STEPS: Final = 300
_POINTS: Final = 10_000
"""How many points of one series a Prometheus gives, with room to spare."""
_SILENCE: Final = 300
"""Seconds without a value that are usual where a Prometheus begins anew."""
_ANY_OF_OURS: Final = '{__name__=~"otel_callbacks_.+"'
_REPLICAS: Final = ("replica", "prometheus_replica", "receive_replica")
_FEW: Final = 100  # Two apps may have the same values while they are this small.
_CHOICES: Final = {"job", "instance", "exported_job", "exported_instance", *_REPLICAS}


def _target(key: Labels) -> Target:
    """Return the target that a series was scraped from or pushed by."""
    labels = dict(key)
    return labels.get("job", ""), labels.get("instance", "")


class _Window(NamedTuple):
    """A period, and the times of the queries around it."""

    since: float
    until: float
    now: float

    @property
    def step(self) -> float:
        """The step of queries within the period in seconds, to a millisecond."""
        length = self.until - self.since
        steps = max(min(_STEPS, length // _MINUTE), 1)
        return math.floor(1_000 * length / steps) / 1_000

    @property
    def grid(self) -> tuple[float, float, float]:
        """The first and the last time of a range query, and its step."""
        steps = math.floor((self.until - self.since) / self.step) - 1
        return self.until - steps * self.step, self.until, self.step

    @property
    def ends(self) -> list[float]:
        """The ends that may lie in a gap; nothing follows an end that is now."""
        return [self.since, *([self.until] if self.until < self.now - _MINUTE else [])]


def _is_gap(end: float, times: Iterable[float]) -> bool:
    """Return whether the last of some times before an end is older than usual."""
    before = sorted(time for time in times if time <= end)
    after = sorted(time for time in times if time > end)
    if not before or not after:
        return True
    usual = [b - a for side in (before, after) for a, b in pairwise(side)]
    most = 3 * max(median(usual) if usual else _MINUTE, _MINUTE)
    return after[0] - before[-1] > most


def _longest(times: Iterable[float]) -> float:
    """Return the longest normal distance of times: three times the median."""
    apart = [after - before for before, after in pairwise(times)]
    return max(3 * median(apart), _SILENCE) if apart else _SILENCE


class Growth(NamedTuple):
    """The increase of a counter."""

    value: float = 0
    restarts: int = 0
    unknown: float = 0
    """What may have been counted in the time, or outside it."""


class _Point(NamedTuple):
    """A counter's value, and the start time of the counter or its process."""

    value: float
    start: float | None = None

    def began_anew(self, before: _Point) -> bool:
        """Return whether the counter was reset since an earlier value."""
        known = self.start is not None and before.start is not None
        return self.value < before.value or (known and self.start != before.start)

    def more(self, before: _Point) -> float:
        """Return the increase since an earlier value."""
        return self.value if self.began_anew(before) else self.value - before.value


class _Reading:
    """The values of the counters in a period."""

    def __init__(
        self, prometheus: Prometheus, window: _Window, matchers: Sequence[Matcher]
    ) -> None:
        self._prometheus = prometheus
        self._window = window
        self._matchers = matchers
        self.histories: dict[str, Histories] = {}
        self.created: dict[str, Histories] = {}
        self.processes: dict[Target, Points] = {}
        self.silences: list[spending.Silence] = []
        # The times around an end at which a target was scraped.
        self.coverage: dict[float, dict[Target, set[float]]] = {
            end: {} for end in window.ends
        }
        # The last values of the day before the start, and of the day after the end.
        self.far: dict[float, dict[str, Histories]] = {end: {} for end in window.ends}

    def read(self, names: Iterable[str]) -> None:
        """Read counters, with the start times of each and of its process."""
        window = self._window
        counters = {name: f"{name}{selector(self._matchers)}" for name in names}
        for name, series in counters.items():
            for end in window.ends:
                at = min(end + _DAY, window.now) if end == window.until else end
                query = f"last_over_time({series}[{_DAY}s])"
                self.far[end][name] = self._prometheus.now(query, at)
            found = self._history(series)
            # Or if it has values on both sides of the period.
            if found or all(self.far[end][name] for end in window.ends):
                self.histories[name] = found
        jobs = {_target(key)[0] for found in self.histories.values() for key in found}
        if not jobs:
            return
        one_of = json.dumps("|".join(map(re.escape, sorted(jobs))), ensure_ascii=False)
        process = f"{spending.STARTED}{{job=~{one_of}}}"
        processes = self._history(process)
        for name in self.histories:
            series = counters[name]
            began = f"{name.removesuffix('_total')}_created{selector(self._matchers)}"
            self.created[name] = self._history(began)
            # The first value may hide the 0 that Prometheus adds before it.
            firsts = {min(points) for points in self.histories[name].values()}
            firsts = {one for one in firsts if window.since < one <= window.until}
            for start, end in self._zones(firsts, series, began, process):
                for found, read in (
                    (self.histories[name], series),
                    (self.created[name], began),
                    (processes, process),
                ):
                    _merge(found, self._prometheus.samples(read, start, end))
        self.processes = {_target(key): points for key, points in processes.items()}

    def _history(self, series: str) -> Histories:
        """Return the values around both ends and between them."""
        window, ask = self._window, self._prometheus.last
        found = ask(series, *window.grid)
        for end in window.ends:
            last = min(end + _HOUR, window.now)
            near = ask(series, end - _HOUR, last, _MINUTE)
            for key, points in near.items():
                self.coverage[end].setdefault(_target(key), set()).update(points)
            _merge(found, near)
        return found

    def _zones(
        self, firsts: set[float], series: str, *starts: str
    ) -> list[tuple[float, float]]:
        """Return the intervals in which a counter or a process was started or reset."""
        since, until, step = self._window.since, self._window.until, self._window.step
        wide = math.ceil(2 * step)
        queries = [f"resets({series}[{wide}s])"]
        queries += [f"changes({one}[{wide}s])" for one in starts]
        marked = {
            time
            for query in queries
            for points in self._prometheus.stepped(
                f"{query} > 0", *self._window.grid
            ).values()
            for time in points
        }
        marked |= {until - step * math.floor((until - time) / step) for time in firsts}
        found: list[tuple[float, float]] = []
        for end in sorted(marked):
            start = max(end - wide, since, found[-1][1] if found else since)
            found.append((start, end))
        return found

    def growth(self, name: str, key: Labels) -> Growth:
        """Return the increase of one counter."""
        since, until = self._window.since, self._window.until
        points = self._points(name, key)
        times = [time for time, _ in points if since < time <= until]
        after = [point for time, point in points if since < time <= until]
        before = [point for time, point in points if time <= since]
        beyond = [point for time, point in points if time > until]
        is_gap = self._is_gap(since, key)
        base = before[-1] if before else self._far(since, name, key) if is_gap else None
        following = beyond[0] if beyond else self._far(until, name, key)
        if not after:
            if base is None or following is None:
                return Growth()
            return Growth(unknown=following.more(base))
        first, restarts, unknown = after[0], 0, 0.0
        if first.start is not None and first.start >= since:
            restarts += base is not None
            last = _Point(0, first.start)
        elif base is None:
            is_new = not first.value or self._is_new(key, first, is_gap=is_gap)
            last = _Point(0, first.start) if is_new else first
            unknown += last.value
        elif is_gap:
            restarts += first.began_anew(base)
            unknown += first.more(base)
            last = first
        else:
            last = base
        value = 0.0
        most = max(_longest(times), 2 * self._window.step)
        for earlier, time, point in zip((times[0], *times), times, after, strict=False):
            if point.began_anew(last):
                restarts += 1
                if time - earlier > most:
                    self.silences.append((earlier, time))
            value += point.more(last)
            last = _Point(point.value, point.start or last.start)
        is_old = following is not None and (following.start or 0) < until
        if following is not None and is_old and self._is_gap(until, key):
            unknown += following.more(last)
        return Growth(value, restarts, unknown)

    def _points(self, name: str, key: Labels) -> list[tuple[float, _Point]]:
        """Return a counter's values in the order of their times."""
        created = self.created.get(name, {}).get(key, {})
        process = self.processes.get(_target(key), {})
        return [
            (time, _Point(value, created.get(time, process.get(time))))
            for time, value in sorted(self.histories[name].get(key, {}).items())
        ]

    def _far(self, end: float, name: str, key: Labels) -> _Point | None:
        """Return the value on the other side of a long gap."""
        points = self.far.get(end, {}).get(name, {}).get(key)
        return None if points is None else _Point(next(iter(points.values())))

    def _is_gap(self, end: float, key: Labels) -> bool:
        """Return whether an end of the period lies in a gap of a counter's target."""
        times = self.coverage.get(end, {}).get(_target(key), ())
        return end in self.coverage and _is_gap(end, times)

    def _is_new(self, key: Labels, first: _Point, *, is_gap: bool) -> bool:
        """Return whether a counter without a value before the period started in it."""
        since = self._window.since
        covered = self.coverage[since]
        if first.start is not None or _target(key) in covered:
            return _target(key) in covered and not is_gap
        # Its start time is unknown, but others on the same path, such as a
        # push, were read when the time began.
        return any(
            not _is_gap(since, times)
            for target, times in covered.items()
            if target not in self.processes
        )

    def keys(self, name: str) -> set[Labels]:
        """Return the labels of a counter's series in and around the period."""
        found = set(self.histories[name])
        return found.union(*(far.get(name, {}) for far in self.far.values()))

    def times(self) -> dict[Labels, tuple[float, float]]:
        """Return the first and last time for each set of target labels."""
        since, until = self._window.since, self._window.until
        found: dict[Labels, tuple[float, float]] = {}
        for histories in self.histories.values():
            for key, points in histories.items():
                if inside := [time for time in points if since < time <= until]:
                    place = tuple(item for item in key if item[0] in _CHOICES)
                    first, last = found.get(place, (inside[0], inside[0]))
                    found[place] = min(first, *inside), max(last, *inside)
        return found

    def is_same(self, one: Labels, other: Labels) -> bool:
        """Return whether counters are the same within 1 %, as those of one app are."""
        last: dict[Labels, dict[object, float]] = {one: {}, other: {}}
        for name, histories in self.histories.items():
            for key, points in histories.items():
                place = tuple(item for item in key if item[0] in _CHOICES)
                if place in last and points:
                    rest = name, tuple(item for item in key if item not in place)
                    last[place][rest] = points[max(points)]
        first, second = last.values()
        is_same = first.keys() == second.keys() and sum(first.values()) >= _FEW
        return is_same and all(
            math.isclose(first[k], second[k], rel_tol=0.01) for k in first
        )


def _merge(found: Histories, more: Histories) -> None:
    """Add points to histories."""
    for key, points in more.items():
        found.setdefault(key, {}).update(points)


def read_prometheus(
    url: str,
    since: datetime,
    until: datetime,
    series: Iterable[str] = spending.SPEND,
    matchers: Sequence[Matcher] = (),
) -> spending.Read:
    """Read the increase of the series of a Prometheus in a period."""
    prometheus = Prometheus(url)
    start = round(since.timestamp(), 3)
    now = round(max(datetime.now(UTC).timestamp(), start + 1), 3)
    window = _Window(start, min(round(until.timestamp(), 3), now), now)
    reading = _Reading(prometheus, window, matchers)
    reading.read(series)
    if not {one.label for one in matchers} & _CHOICES:
        _refuse_what_counts_twice(prometheus, window, reading)
    found: list[Sample] = []
    unknown: list[Sample] = []
    restarts = 0
    for name in reading.histories:
        for key in sorted(reading.keys(name)):
            grown = reading.growth(name, key)
            restarts += grown.restarts
            found.append(Sample(name, dict(key), grown.value))
            if grown.unknown:
                unknown.append(Sample(name, dict(key), grown.unknown))
    return spending.Read(
        tuple(found),
        since,
        until,
        restarts,
        tuple(unknown),
        tuple(prometheus.warnings),
        spending.merged(reading.silences + _silences(prometheus, window, matchers)),
    )


def _silences(
    prometheus: Prometheus, window: _Window, matchers: Sequence[Matcher]
) -> list[spending.Silence]:
    """Return the periods in which the Prometheus scraped nothing from any app."""
    length = window.until - window.since
    step = max(_MINUTE, math.ceil(length / _POINTS))
    start = window.until - step * max(math.ceil(length / step) - 1, 0)
    # Of the selected cluster, else of all; apps that push have no `up`.
    others = [one for one in matchers if one.label not in _CHOICES]
    times: set[float] = set()
    for series in dict.fromkeys((f"up{selector(others)}", "up", _ours(matchers))):
        query = f"count(last_over_time({series}[{step + 1}s]))"
        found = prometheus.stepped(query, start, window.until, step)
        times = {time for points in found.values() for time in points}
        if times:
            break
    else:
        return [(window.since, window.until)]
    most = _longest(sorted(times))
    ends = window.since, *sorted(times), window.until
    return [(one, other) for one, other in pairwise(ends) if other - one > most]


def _ours(matchers: Sequence[Matcher]) -> str:
    """Return the selector of all our series that match."""
    chosen = selector(matchers)[1:]
    return f"{_ANY_OF_OURS}{',' if chosen else '}'}{chosen}"


def require_ours(
    url: str, since: datetime, until: datetime, matchers: Sequence[Matcher] = ()
) -> None:
    """Refuse a Prometheus that has none of our series in a period."""
    prometheus = Prometheus(url)
    seconds = math.ceil((until - since).total_seconds())
    if not prometheus.now(
        f"count(last_over_time({_ours(matchers)}[{seconds}s]))", until.timestamp()
    ):
        where = f" that match {selector(matchers)}" if matchers else ""
        refuse(
            f"{prometheus.url} has none of our series{where} from "
            f"{since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M} UTC, so the spend"
            " is unknown. otel-callbacks doctor finds where they are lost."
        )


def _refuse_what_counts_twice(
    prometheus: Prometheus, window: _Window, reading: _Reading
) -> None:
    """Refuse counters of one app that reach Prometheus twice: scraped and pushed."""
    places = reading.times()
    if len(places) <= 1:
        return
    for (what, name), copies in _copies(prometheus, window, reading).items():
        for one, other in pairwise(sorted(copies)):
            both = [[places[place] for place in copies[path]] for path in (one, other)]
            first = max(min(begin for begin, _ in times) for times in both)
            last = min(max(end for _, end in times) for times in both)
            if last - first <= 2 * window.step:
                continue
            ours, theirs = dict(copies[one][0]), dict(copies[other][0])
            label = next(
                (name for name in ours if ours[name] != theirs.get(name)), "job"
            )
            refuse(
                f"the series of {what} {name!r} reach {prometheus.url} twice, "
                f"{one} and {other}, so each call would count twice. Choose the "
                f"ones to count: --match '{label}={json.dumps(ours.get(label, ''))}'"
            )


def _copies(
    prometheus: Prometheus, window: _Window, reading: _Reading
) -> dict[tuple[str, str], dict[str, list[Labels]]]:
    """Return how the series of each service and instance reach Prometheus."""
    length = f"[{math.ceil(window.until - window.since)}s]"
    up = prometheus.now(f"last_over_time(up{length})", window.until)
    info = prometheus.now(f"last_over_time(target_info{length})", window.until)
    scraped = {_target(key) for key in up}
    named = {_target(key): dict(key).get("service_name", "") for key in info}
    found: dict[tuple[str, str], dict[str, list[Labels]]]
    found = defaultdict(lambda: defaultdict(list))
    paths: dict[str, list[Labels]] = defaultdict(list)
    for place in reading.times():
        labels = dict(place)
        job, instance = target = _target(place)
        service, path = named.get(target) or job, "pushed"
        if "exported_job" in labels:
            service, path = labels["exported_job"], "sent on by a Collector"
        elif target in scraped:
            path = "scraped"
            found["instance", instance][f"as job {job!r}"].append(place)
        for name in _REPLICAS:
            if name in labels:
                path_of_replica = f"as {name} {labels[name]!r}"
                found[name, f"{job} {instance}"][path_of_replica].append(place)
        # A pushed job is the service name, after its namespace, if any.
        found["service", service.rpartition("/")[2]][path].append(place)
        paths[path].append(place)
    for one, other in product(paths["scraped"], paths["pushed"]):
        if reading.is_same(one, other):
            jobs = f"{_target(one)[0]} and {_target(other)[0]}"
            both = {"scraped": [one], "pushed": [other]}
            found["jobs with the same values,", jobs] = both
    return found
