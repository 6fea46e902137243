from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_of_samples import every, prometheus
from report_servers import answering

from otel_callbacks.cli import main
from otel_callbacks.cli.report.growth import read_prometheus
from otel_callbacks.cli.report.spending import Read, matchers

if TYPE_CHECKING:
    from collections.abc import Callable

    from prometheus_of_samples import Samples

SINCE = datetime(2025, 3, 3, tzinfo=UTC)
UNTIL = SINCE + timedelta(days=1)
START, END = SINCE.timestamp(), UNTIL.timestamp()
HOUR = 3600
TOKENS = "otel_callbacks_tokens_total"
SHOP = {"job": "shop", "instance": "a:9464"}
CALL = {"gen_ai_operation_name": "chat", "gen_ai_token_type": "input"}


def tokens(**labels: str) -> dict[str, str]:
    """Return the labels of a counter of tokens."""
    return {"__name__": TOKENS, **SHOP, **CALL, **labels}


def began(name: str, *times: tuple[float, Samples]) -> tuple[dict[str, str], Samples]:
    """Return the series that says when a counter, or its process, began."""
    labels = SHOP if name == "process_start_time_seconds" else SHOP | CALL
    points = [(at, start) for start, samples in times for at, _ in samples]
    return {"__name__": name, **labels}, points


def read(*series: tuple[dict[str, str], Samples], **more: Any) -> Read:
    """Read a day of a Prometheus that has these series."""
    with prometheus(series, **more) as url:
        return read_prometheus(url, SINCE, UNTIL, [TOKENS])


@pytest.fixture
def refusal(capsys: pytest.CaptureFixture[str]) -> Callable[[str], str]:
    """Return what reports a Prometheus that is refused, and returns the message."""

    def report(url: str) -> str:
        assert run(url) == 2
        return capsys.readouterr().err

    return report


def grown(found: Read) -> tuple[float, float, int]:
    """Return what was counted, what else may have been, and the restarts."""
    value = sum(sample.value for sample in found.samples)
    return value, sum(sample.value for sample in found.unknown), found.restarts


def at_noon(time: float) -> float:
    """Count 3,000,000 before the day, and 100,000 at noon."""
    return 3_000_000 + 100_000 * (time >= START + 12 * HOUR)


@pytest.mark.parametrize("seconds", [15, 60, 600, 1200])
def test_how_often_it_is_read_changes_no_sum(seconds: float) -> None:
    """A counter that is older than the day grew by what it has more at its end."""
    samples = every(seconds, START - 2 * HOUR, END + 2 * HOUR, at_noon)
    assert grown(read((tokens(), samples))) == (100_000, 0, 0)


def test_a_gap_at_the_start_is_no_growth() -> None:
    """What was counted before the gap is no part of the day."""
    samples = every(15, START - 5 * HOUR, START - 2 * HOUR, at_noon)
    samples += every(15, START + 3 * HOUR, END, at_noon)
    assert grown(read((tokens(), samples))) == (100_000, 0, 0)


def test_growth_across_a_gap_is_in_no_sum_and_is_reported() -> None:
    """At the start and at the end nobody knows on which side it was counted."""

    def count(time: float) -> float:
        return (
            10 + 7 * (time > START) + 100 * (time > START + 9 * HOUR) + 5 * (time > END)
        )

    for length in (0.5, 3):  # within the hour that is looked at, and beyond it
        samples = every(60, START - 6 * HOUR, START - length * HOUR, count)
        samples += every(60, START + length * HOUR, END - length * HOUR, count)
        samples += every(60, END + length * HOUR, END + 6 * HOUR, count)
        found = read((tokens(), samples))
        assert grown(found) == (100, 12, 0)
        assert not found.is_proven


def test_a_day_in_a_gap() -> None:
    """All that is known is what it was on both sides."""
    samples = every(60, START - 6 * HOUR, START - HOUR / 2, lambda _: 10)
    samples += every(60, END + HOUR / 2, END + 6 * HOUR, lambda _: 50)
    assert grown(read((tokens(), samples))) == (0, 40, 0)
    assert grown(read((tokens(), samples[:331]))) == (0, 0, 0)


def test_a_prometheus_that_is_younger_than_the_time() -> None:
    """What the first value has may have been counted before."""
    young = every(15, START + 6 * HOUR, END + HOUR, at_noon)
    assert grown(read((tokens(), young))) == (100_000, 3_000_000, 0)
    process = began("process_start_time_seconds", (START - HOUR, young))
    assert grown(read((tokens(), young), process)) == (100_000, 3_000_000, 0)


@pytest.mark.parametrize(
    "name", ["process_start_time_seconds", "otel_callbacks_tokens_created"]
)
def test_an_app_that_is_as_young_as_its_prometheus(name: str) -> None:
    """All that it has was counted in the time, and it says so."""
    young = every(15, START + 6 * HOUR, END + HOUR, at_noon)
    series = began(name, (START + 6 * HOUR - 2, young))
    assert grown(read((tokens(), young), series)) == (3_100_000, 0, 0)


def test_a_counter_that_is_new_in_an_old_app() -> None:
    """The app was read when the time began, so the whole counter is of the time."""
    old = every(15, START - HOUR, END + HOUR, lambda _: 5)
    new = every(15, START + 6 * HOUR, END + HOUR, lambda _: 700)
    process = began("process_start_time_seconds", (START - 9 * HOUR, old))
    series = (tokens(model="old"), old), (tokens(model="new"), new)
    assert grown(read(*series, process)) == (700, 0, 0)
    assert grown(read(*series)) == (700, 0, 0)
    # Another app, which does not say when it began: others were read by then.
    other = tokens(job="post", instance="b:9464")
    assert grown(read(series[0], (other, new))) == (700, 0, 0)
    # In a gap it may have begun before.
    gap = [one for one in old if not -HOUR / 2 < one[0] - START < 7 * HOUR]
    assert grown(read((tokens(model="old"), gap), series[1])) == (0, 700, 0)


def test_a_counter_that_is_new_and_begins_anew() -> None:
    """Both parts are whole, to the token."""
    other = every(15, START - HOUR, END + HOUR, lambda _: 5)
    first = every(15, START + HOUR, START + 9 * HOUR, lambda _: 500_000)
    again = every(15, START + 9 * HOUR + 15, END + HOUR, lambda _: 200_000)
    process = began(
        "process_start_time_seconds",
        (START - 9 * HOUR, other[: 10 * 240]),
        (START + 9 * HOUR + 1, other[10 * 240 + 1 :]),
    )
    series = (tokens(model="old"), other), (tokens(model="new"), first + again)
    assert grown(read(*series)) == (700_000, 0, 1)
    assert grown(read(*series, process))[0] == 700_005


@pytest.mark.parametrize(
    "name", ["process_start_time_seconds", "otel_callbacks_tokens_created"]
)
@pytest.mark.parametrize("again", [100, 130])
def test_a_restart_that_the_values_do_not_show(name: str, again: int) -> None:
    """Equal or greater values after it: when the counter began shows it."""
    first = every(15, START - HOUR, START + 9 * HOUR, lambda time: 100 * (time > START))
    second = every(15, START + 9 * HOUR + 15, END + HOUR, lambda _: again)
    starts = began(name, (START - HOUR, first), (START + 9 * HOUR + 5, second))
    assert grown(read((tokens(), first + second), starts)) == (100 + again, 0, 1)
    # In a gap, too.
    del second[:700]
    starts = began(name, (START - HOUR, first), (START + 9 * HOUR + 5, second))
    assert grown(read((tokens(), first + second), starts)) == (100 + again, 0, 1)


def test_a_restart_at_the_start_or_the_end() -> None:
    """Of the counter that ended only what was counted in the time is in it."""
    first = every(15, START - HOUR, START - 60, lambda _: 90)
    second = every(15, START + 30, END + HOUR, lambda time: 7 + 3 * (time > END))
    starts = began(
        "process_start_time_seconds", (START - HOUR, first), (START + 5, second)
    )
    assert grown(read((tokens(), first + second), starts)) == (7, 0, 1)
    gap = every(15, START - HOUR, START - HOUR / 2, lambda _: 90)
    assert grown(read((tokens(), gap + second)))[:2] == (0, 7)


def test_many_restarts() -> None:
    """Each is added up by itself."""
    samples: Samples = []
    for hour in range(24):
        begin = START + hour * HOUR
        samples += every(15, begin, begin + HOUR - 15, lambda time: time % HOUR)
    assert grown(read((tokens(), samples))) == (24 * (HOUR - 15), 0, 23)


def test_a_time_of_minutes_that_ends_now() -> None:
    """The last values are the end."""
    now = datetime.now(UTC)
    samples = every(
        1, now.timestamp() - 500, now.timestamp(), lambda time: 10 + (time % 2 > 3)
    )
    with prometheus([(tokens(), samples)]) as url:
        found = read_prometheus(url, now - timedelta(seconds=90), now, [TOKENS])
        assert grown(found) == (0, 0, 0)


def up(*gaps: tuple[float, float]) -> tuple[dict[str, str], Samples]:
    """Return the series of a Prometheus that read nothing in these hours."""
    samples = every(60, START - HOUR, END + HOUR, lambda _: 1)
    return {"__name__": "up", **SHOP}, [
        (time, value)
        for time, value in samples
        if not any(start < (time - START) / HOUR < end for start, end in gaps)
    ]


def hours(found: Read) -> list[tuple[int, int]]:
    """Return the hours of the day in which nothing was read."""
    return [
        (round((one - START) / HOUR), round((other - START) / HOUR))
        for one, other in found.silences
    ]


@pytest.mark.parametrize(
    "gaps", [[(6, 12)], [(-1, 2)], [(20, 25)], [(1, 2), (4, 5), (7, 8), (20, 21)]]
)
def test_hours_in_which_nothing_was_read(gaps: list[tuple[float, float]]) -> None:
    """A process that ended in them is in no sum, so the sum is not proven."""
    name, points = up(*gaps)
    found = read((tokens(), [(time, 5.0) for time, _ in points]), (name, points))
    assert hours(found) == [(max(one, 0), min(other, 24)) for one, other in gaps]
    assert not found.is_proven
    # Series that are pushed have no `up`; they say it themselves.
    assert hours(read((tokens(), points))) == hours(found)
    assert hours(read((tokens(), points), up())) == []


def test_a_day_in_which_nothing_was_read() -> None:
    """What was read shortly before says nothing of it."""
    samples = every(60, START - HOUR, START - HOUR / 2, lambda _: 10)
    found = read((tokens(), samples))
    assert (grown(found), hours(found)) == ((0, 0, 0), [(0, 24)])
    # The app had ended, and the Prometheus went on.
    assert read((tokens(), samples), up()).is_proven


@pytest.mark.parametrize("again", [100, 900])
def test_a_process_that_was_silent_and_began_anew(again: float) -> None:
    """What the old one counted in these hours is in no sum, and this is said."""
    first = every(15, START - HOUR, START + 6 * HOUR, lambda _: 500)
    second = every(15, START + 12 * HOUR, END + HOUR, lambda _: again)
    process = began(
        "process_start_time_seconds",
        (START - HOUR, first),
        (START + 11 * HOUR, second),
    )
    found = read((tokens(), first + second), process, up())
    assert (grown(found), hours(found)) == ((again, 0, 1), [(6, 12)])
    # Without a restart the whole growth is known.
    found = read((tokens(), [*first, (END, 600.0)]), up())
    assert (grown(found)[0], found.is_proven) == (100, True)


def test_a_push_that_comes_first_in_the_day() -> None:
    """Where no other push was read, it may have counted for weeks."""
    old = every(60, START - HOUR, END + HOUR, lambda _: 5)
    late = every(60, START + 6 * HOUR, END + HOUR, lambda _: 3_000_000)
    process = began("process_start_time_seconds", (START - 9 * HOUR, old))
    pushed = tokens(job="flowers/vase", instance="5d0831eb")
    series = [(tokens(), old), process, (pushed, late), up()]
    assert grown(read(*series)) == (0, 3_000_000, 0)
    # Where one was, this one is new.
    series.append((tokens(job="flowers/post", instance="9c1e"), old))
    assert grown(read(*series)) == (3_000_000, 0, 0)


@pytest.mark.parametrize("label", ["replica", "prometheus_replica", "receive_replica"])
def test_replicas_that_are_not_merged(
    label: str, refusal: Callable[[str], str]
) -> None:
    """Two that read the same app count each call twice."""
    samples = every(60, START - HOUR, END + HOUR, at_noon)
    series = [(tokens(**{label: one}), samples) for one in "ab"]
    with prometheus([*series, up()]) as url:
        assert f"twice, as {label} 'a' and as {label} 'b'" in refusal(url)


PUSHED = {"job": "flowers/shop", "instance": "5d0831eb"}


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (PUSHED, "of service 'shop' .* twice, pushed and scraped"),
        ({"job": "otelcol", "exported_job": "shop"}, "sent on by a Collector"),
        ({"job": "again"}, "of instance 'a:9464' .* as job 'again' and as job 'shop'"),
    ],
)
def test_one_app_in_two_ways_is_refused(
    other: dict[str, str], why: str, refusal: Callable[[str], str]
) -> None:
    """Twice the sum is no sum; who chooses one way gets it."""
    samples = every(60, START - HOUR, END + HOUR, at_noon)
    series = [(tokens(), samples), (tokens(**other), samples)]
    up = {"__name__": "up", **SHOP}
    series += [(up, samples), ({**up, "job": "again"}, samples)]
    with prometheus(series) as url:
        message = refusal(url)
        assert re.search(why, message)
        chosen = matchers(message.partition("--match '")[2].rstrip()[:-1])
        found = read_prometheus(url, SINCE, UNTIL, [TOKENS], chosen)
    assert grown(found) == (100_000, 0, 0)


def test_a_service_is_named_by_its_target_info(
    refusal: Callable[[str], str],
) -> None:
    """A job may be called otherwise; its own process says which service it is."""
    samples = every(60, START - HOUR, END + HOUR, at_noon)
    web = {"job": "web", "instance": "a:9464"}
    series = [
        (tokens(**web), samples),
        (tokens(**PUSHED), samples),
        ({"__name__": "up", **web}, samples),
    ]
    other = every(60, START - HOUR, END + HOUR, lambda time: at_noon(time) * 1.5)
    apart = [series[0], (tokens(**PUSHED), other), series[2]]
    assert grown(read(*apart)) == (250_000, 0, 0)
    series[1] = apart[1]
    series.append(({"__name__": "target_info", **web, "service_name": "shop"}, samples))
    with prometheus(series) as url:
        assert "'shop'" in refusal(url)


def test_one_app_as_two_jobs_is_known_by_its_values(
    refusal: Callable[[str], str],
) -> None:
    """Without target_info, nothing else says that they are one; small values do not."""
    web = {"job": "web", "instance": "a:9464"}
    samples = every(60, START - HOUR, END + HOUR, at_noon)
    later = every(45, START - HOUR, END, lambda time: at_noon(time - 30))
    up = {"__name__": "up", **web}, samples
    for pushed in (samples, later):
        series = (tokens(**web), samples), (tokens(**PUSHED), pushed), up
        with prometheus(series) as url:
            assert "same values, 'web and flowers/shop'" in refusal(url)
    two = (tokens(**web, model="a"), samples), (tokens(**PUSHED, model="b"), samples)
    assert grown(read(*two, up)) == (200_000, 0, 0)
    few = [(at, value / 100_000) for at, value in samples]
    assert grown(read((tokens(**web), few), (tokens(**PUSHED), few), up)) == (2, 0, 0)


def test_one_way_after_the_other_is_no_doubt() -> None:
    """Who moves from a scrape to a push at noon counts each call once."""
    noon = START + 12 * HOUR
    series = [
        (tokens(), every(60, START - HOUR, noon, lambda time: 10 * (time > START))),
        (tokens(**PUSHED), every(60, noon + 60, END + HOUR, lambda _: 5)),
        ({"__name__": "up", **SHOP}, every(60, START, noon, lambda _: 1)),
    ]
    assert grown(read(*series)) == (15, 0, 0)


def test_warnings_are_kept() -> None:
    """Thanos and Mimir answer in part, and say so."""
    samples = every(60, START - HOUR, END + HOUR, at_noon)
    found = read((tokens(), samples), warnings=["store b is down", "store b is down"])
    assert found.warnings == ("store b is down",)
    assert not found.is_proven


def test_only_what_matches() -> None:
    """Any matcher of PromQL, on labels of the series and of the target."""
    samples = every(60, START - HOUR, END + HOUR, at_noon)
    with prometheus([(tokens(team=team), samples) for team in ("a", "b", "")]) as url:
        for text, number in (
            ('team="a"', 1),
            ('team=~"a|b"', 2),
            ("team!='a',job=\"shop\"", 2),
            ('team!~".+"', 1),
            ('job="post"', 0),
        ):
            found = read_prometheus(url, SINCE, UNTIL, [TOKENS], matchers(text))
            assert len(found.samples) == number


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"data": {"result": [1]}}', '{"data": null}']
)
def test_what_is_no_prometheus(text: str, refusal: Callable[[str], str]) -> None:
    """Another server behind the address."""
    with answering(lambda _: (200, text)) as (url, _):
        assert "does not answer as a Prometheus does" in refusal(url)


@pytest.mark.parametrize("number", ["NaN", "+Inf"])
def test_what_is_no_number_is_no_sum(
    number: str, refusal: Callable[[str], str]
) -> None:
    """``nan`` would agree with every export."""
    content = {"data": {"result": [{"metric": {}, "value": [0, number]}]}}
    with answering(lambda _: (200, json.dumps(content))) as (url, _):
        assert "which is no sum" in refusal(url)


def run(url: str, *arguments: str) -> int:
    """Run the command for the day."""
    day = ["--since", "2025-03-03", "--until", "2025-03-04"]
    return main(["report", "--prometheus", url, *day, *arguments])


def test_a_prometheus_with_none_of_our_series(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It does not say 0: nothing is known. An app without calls has spent 0."""
    samples = every(60, START - HOUR, END + HOUR, lambda _: 0)
    with prometheus([({"__name__": "up", **SHOP}, samples)]) as url:
        assert run(url) == 2
        assert "has none of our series from 2025-03-03" in capsys.readouterr().err
    with prometheus(
        [({"__name__": "otel_callbacks_open_runs", **SHOP}, samples)]
    ) as url:
        assert run(url) == 0
        assert "No model calls were counted." in capsys.readouterr().out
        assert run(url, "--match", 'job="post"') == 2
        message = capsys.readouterr().err
        assert 'none of our series that match {job="post"}' in message


def test_sums_that_may_be_too_small_are_no_success(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """They are printed, with what may be missing, and the exit code is 1."""
    samples = every(15, START + 6 * HOUR, END + HOUR, at_noon)
    with prometheus([(tokens(), samples)], warnings=["partial"]) as url:
        assert run(url) == 1
        text = " ".join(capsys.readouterr().out.split())
        assert "Up to 3,000,000 tokens, $0 and 0 calls more may fall in" in text
        assert "The server warns: partial" in text
        assert run(url, "--json") == 1
        content = json.loads(capsys.readouterr().out)
        assert content["proven"] is False
        assert content["total"]["input_tokens"] == 100_000
        assert run(url, "--csv") == 1
        printed = capsys.readouterr()
        assert "may fall in this time" not in printed.out
        assert "may fall in this time" in printed.err
        assert "read from 2025-03-03 00:00 to 2025-03-03 06:00 (UTC)" in printed.err


def test_many_gaps_are_not_all_named(capsys: pytest.CaptureFixture[str]) -> None:
    """The first ones, and how many more."""
    name, points = up((1, 2), (4, 5), (7, 8), (20, 21))
    with prometheus([(tokens(), points), (name, points)]) as url:
        assert run(url) == 1
        text = " ".join(capsys.readouterr().out.split())
        assert "2025-03-03 07:01 to 2025-03-03 08:00 and 1 more (UTC)" in text


def test_a_refusal_of_prometheus_is_reported_with_its_reason(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Its address is right, so the message does not ask for another."""
    body = {"status": "error", "errorType": "bad_data", "error": "no such regexp"}
    with answering(lambda _: (400, json.dumps(body))) as (url, _):
        assert run(url) == 2
        text = f"otel-callbacks report: {url} answers 400: no such regexp\n"
        assert capsys.readouterr().err == text


@pytest.mark.parametrize("wrong", ["", "job", 'job="a" team="b"', 'job=~"("', "job=a"])
def test_a_wrong_matcher(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It is refused before anything is asked."""
    with pytest.raises(SystemExit) as caught:
        main(["report", "--match", wrong])
    assert caught.value.code == 2
    assert "no matchers such as" in capsys.readouterr().err
