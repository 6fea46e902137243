from __future__ import annotations

import json
import socket
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from loopback_servers import Page, Receiver, Web

from otel_callbacks.cli.doctor.addresses import address
from otel_callbacks.cli.doctor.findings import Finding, Trouble
from otel_callbacks.cli.doctor.probe import Deadline, Site, Visit

if TYPE_CHECKING:
    from otel_callbacks.cli.doctor.probe import Answer


def _ask(visit: Visit, url: str, path: str = "/x") -> Answer:
    """Ask a server that is called jaeger."""
    return Site("jaeger", address("--jaeger", url), visit).get(path, q="1 2")


def _why(visit: Visit, url: str) -> str:
    """Return why there is no answer."""
    with pytest.raises(Trouble) as caught:
        _ask(visit, url)
    return caught.value.finding.reason


def test_answers_of_every_status_are_answers(visit: Visit) -> None:
    """Status, text and JSON, and None for what is no JSON."""
    with Web({"/x": Page({"a": 1})}) as web:
        answer = _ask(visit, web.url)
        assert (answer.status, answer.json()) == (200, {"a": 1})
        assert web.requests[0][0] == "/x?q=1+2"
        missing = _ask(visit, web.url, "/y")
        assert (missing.status, missing.text) == (404, "404 page not found")
        assert missing.json() is None
    assert visit.cautions == []


def test_login_is_sent(visit: Visit) -> None:
    """User and password of the address, as the header that they make."""
    with Web() as web:
        _ask(visit, web.url.replace("//", "//me:you@"))
        assert web.requests[0][1]["Authorization"] == "Basic bWU6eW91"


def test_this_machine_is_not_asked_through_a_proxy(
    visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host that is far away is."""
    with Web({"/x": Page("near")}) as web, Web() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        assert _ask(visit, web.url).text == "near"
        assert proxy.requests == []
        assert _ask(visit, "http://far.invalid").status == 404
        assert proxy.requests[0][0].startswith("http://far.invalid/x")


@pytest.mark.parametrize(
    ("date", "side"),
    [
        ("Sat, 21 Nov 2043 05:00:00 GMT", "ahead of"),
        ("Sat, 21 Nov 2020 05:00:00 GMT", "behind"),
    ],
)
def test_clock_that_is_off_is_noted_once(visit: Visit, date: str, side: str) -> None:
    """By how much and to which side, with a remedy."""
    with Web({"/x": Page(headers={"Date": date})}) as web:
        _ask(visit, web.url)
    (caution,) = visit.cautions
    assert caution.reason.startswith("clock skew: its clock is ")
    assert caution.reason.endswith(f" s {side} this machine's")
    assert "NTP" in caution.remedy


@pytest.mark.parametrize("date", ["", "yesterday"])
def test_server_without_a_clock_is_fine(visit: Visit, date: str) -> None:
    """A header that is missing or says nothing is no reason to doubt."""
    with Web({"/x": Page(headers={"Date": date})}) as web:
        assert _ask(visit, web.url).status == 200
    assert visit.cautions == []


def test_tls_port_is_a_mismatch(visit: Visit) -> None:
    """Whether it hangs up, or says so as Go's servers do."""
    with Web(tls=True) as web:
        reason = f"TLS mismatch: 127.0.0.1:{web.port} speaks TLS, we plain text"
        assert _why(visit, web.url.replace("https", "http")) == reason
    go = Page("Client sent an HTTP request to an HTTPS server.", 400)
    with Web({"/x": go}) as web:
        assert _why(visit, web.url).startswith("TLS mismatch")


def test_untrusted_certificate_is_the_reason(visit: Visit) -> None:
    """Of the connection, before any HTTP."""
    with Web(tls=True) as web:
        assert "is not trusted" in _why(visit, web.url)


def test_other_protocol_is_named(visit: Visit) -> None:
    """A gRPC port does not speak HTTP/1."""
    with Receiver() as receiver:
        assert _why(visit, receiver.url).startswith("it does not speak HTTP (")


def test_silent_server_is_named() -> None:
    """It takes the connection, and that is all."""
    visit = Visit(Deadline(0.5))
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        reason = _why(visit, f"http://127.0.0.1:{server.getsockname()[1]}")
    assert reason == "it took the connection and gave no answer (timed out)"


@pytest.mark.parametrize(
    ("status", "reason", "remedy"),
    [
        (401, "HTTP 401: it wants a login", "--jaeger http://USER:PASSWORD@HOST"),
        (503, "HTTP 503: it is not ready, or behind", "docker compose logs jaeger"),
        (418, "what answers there is not jaeger (HTTP 418)", "--jaeger URL"),
    ],
)
def test_strangers_are_told_apart(
    visit: Visit, status: int, reason: str, remedy: str
) -> None:
    """One that wants a login, one that is not ready, and one that is another."""
    with Web({"/x": Page(status=status)}) as web:
        site = Site("jaeger", address("", web.url), visit)
        finding = site.stranger(site.get("/x")).finding
    assert finding.reason.startswith(reason)
    assert remedy in finding.remedy


def test_polling_ends_with_an_answer_or_with_the_time() -> None:
    """The probe is asked at least once, even when no time is left."""
    answers = iter([None, None, 7])
    assert Deadline(5).poll(lambda: next(answers)) == 7
    asked = []
    assert Deadline(0).poll(lambda: asked.append(1)) is None
    assert asked == [1]
    began = time.monotonic()
    assert Deadline(0.05).poll(lambda: None) is None
    assert time.monotonic() - began >= 0.05


def test_deadlines_are_never_negative() -> None:
    """And one request always has some time."""
    over = Deadline(-1)
    assert (over.left, over.request) == (0.0, 0.5)
    assert Deadline(100).request == 5.0
    assert 40 < Deadline(100).share(0.5).left <= 50


def test_findings_are_kept_in_order_and_cautions_once(visit: Visit) -> None:
    """Two requests to one server do not say the same twice."""
    visit.trouble("a", "b")
    visit.trouble("c", "d")
    visit.caution("e", "f")
    visit.caution("e", "f")
    assert visit.troubles == [Finding("a", "b"), Finding("c", "d")]
    assert json.dumps([one.reason for one in visit.cautions]) == '["e"]'
