from __future__ import annotations

import json
import socket
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from loopback_servers import CERTIFICATE, Page, Receiver, Web, at, closed_port

from otel_callbacks.cli.doctor import probe
from otel_callbacks.cli.doctor.probe import (
    Check,
    Deadline,
    Finding,
    Hop,
    Report,
    Trouble,
    connect,
    speaks_tls,
)

if TYPE_CHECKING:
    import httpx


def _ask(check: Check, url: str, path: str = "/x") -> httpx.Response:
    """Ask a server that is called jaeger."""
    check.name, check.address = "jaeger", at(url)
    return check.get(path, q="1 2")


def _why(check: Check, url: str) -> str:
    """Return why there is no answer."""
    with pytest.raises(Trouble) as caught:
        _ask(check, url)
    return caught.value.finding.reason


def test_answers_of_every_status_are_answers(check: Check) -> None:
    """Also one of a page that is missing."""
    with Web({"/x": Page({"a": 1})}) as web:
        answer = _ask(check, web.url)
        assert (answer.status_code, json.loads(answer.text)) == (200, {"a": 1})
        assert web.requests[0][0] == "/x?q=1+2"
        missing = _ask(check, web.url, "/y")
        assert (missing.status_code, missing.text) == (404, "404 page not found")
    assert check.cautions == []


def test_login_is_sent(check: Check) -> None:
    """User and password of the address, as the header that they make."""
    with Web() as web:
        _ask(check, web.url.replace("//", "//me:you@"))
        assert web.requests[0][1]["Authorization"] == "Basic bWU6eW91"


def test_this_machine_is_reached_without_a_proxy(
    check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host that is far away is."""
    with Web({"/x": Page("near")}) as web, Web() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        assert _ask(check, web.url).text == "near"
        assert proxy.requests == []
        assert _ask(check, "http://far.invalid").status_code == 404
        assert proxy.requests[0][0].startswith("http://far.invalid/x")


@pytest.mark.parametrize(
    ("date", "side"),
    [
        ("Sat, 21 Nov 2043 05:00:00 GMT", "ahead of"),
        ("Sat, 21 Nov 2020 05:00:00 GMT", "behind"),
    ],
)
def test_clock_that_is_off_is_noted_once(check: Check, date: str, side: str) -> None:
    """By how much and to which side, with a remedy."""
    with Web({"/x": Page(headers={"Date": date})}) as web:
        _ask(check, web.url)
    (caution,) = check.cautions
    assert caution.reason.startswith("clock skew: its clock is ")
    assert caution.reason.endswith(f" s {side} this machine's")
    assert "NTP" in caution.remedy


@pytest.mark.parametrize("date", ["", "yesterday"])
def test_server_without_a_clock_is_fine(check: Check, date: str) -> None:
    """A header that is missing or says nothing is no reason to doubt."""
    with Web({"/x": Page(headers={"Date": date})}) as web:
        assert _ask(check, web.url).status_code == 200
    assert check.cautions == []


def test_tls_port_is_a_mismatch(check: Check) -> None:
    """Whether it hangs up, or says so as Go's servers do."""
    with Web(tls=True) as web:
        reason = f"TLS mismatch: 127.0.0.1:{web.port} speaks TLS, not plain text"
        assert _why(check, web.url.replace("https", "http")) == reason
    go = Page("Client sent an HTTP request to an HTTPS server.", 400)
    with Web({"/x": go}) as web:
        assert _why(check, web.url).startswith("TLS mismatch")


def test_untrusted_certificate_is_the_reason(check: Check) -> None:
    """Of the connection, before any HTTP."""
    with Web(tls=True) as web:
        assert "is not trusted" in _why(check, web.url)


def test_other_protocol_is_named(check: Check) -> None:
    """A gRPC port does not speak HTTP/1."""
    with Receiver() as receiver:
        assert _why(check, receiver.url).startswith("it does not speak HTTP (")


def test_silent_server_is_named() -> None:
    """It takes the connection, and that is all."""
    check = Check(Deadline(0.5))
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        reason = _why(check, f"http://127.0.0.1:{server.getsockname()[1]}")
    assert reason == "it accepted the connection, but did not respond (timed out)"


@pytest.mark.parametrize(
    ("status", "reason", "remedy"),
    [
        (401, "HTTP 401: it requires a login", "--jaeger http://USER:PASSWORD@HOST"),
        (503, "HTTP 503: it is not ready, or behind", "docker compose logs jaeger"),
        (418, "the server there is not jaeger (HTTP 418)", "--jaeger URL"),
    ],
)
def test_wrong_servers_are_identified(
    check: Check, status: int, reason: str, remedy: str
) -> None:
    """One that requires a login, one that is not ready, and one that is another."""
    with Web({"/x": Page(status=status)}) as web:
        check.name, check.address = "jaeger", at(web.url)
        finding = check.unrecognised(check.get("/x")).finding
    assert finding.reason.startswith(reason)
    assert remedy in finding.remedy


def test_polling_ends_with_an_answer_or_with_the_time() -> None:
    """The probe is asked at least once, even when no time is left."""
    answers = iter([None, None, 7])
    assert Deadline(5).poll(lambda: next(answers)) == 7
    polls = []
    assert Deadline(0).poll(lambda: polls.append(1)) is None
    assert polls == [1]
    began = time.monotonic()
    assert Deadline(0.05).poll(lambda: None) is None
    assert time.monotonic() - began >= 0.05


def test_deadlines_are_never_negative() -> None:
    """And one request always has some time."""
    over = Deadline(-1)
    assert (over.remaining, over.request) == (0.0, 0.5)
    assert Deadline(100).request == 5.0
    assert 40 < Deadline(100).share(0.5).remaining <= 50


def test_findings_are_kept_in_order_and_cautions_once(check: Check) -> None:
    """Two requests to one server do not say the same twice."""
    for name in ("a", "c"):
        with check.going_on():
            raise Trouble(Finding(name, "b"))
    check.caution(Finding("e", "f"))
    check.caution(Finding("e", "f"))
    assert check.troubles == [Finding("a", "b"), Finding("c", "b")]
    assert json.dumps([one.reason for one in check.cautions]) == '["e"]'


def _connection_why(where: Any, authorities: str | None = None) -> Finding:
    """Return why there is no connection."""
    with pytest.raises(Trouble) as caught:
        connect(where, "--jaeger", 0.3, authorities)
    return caught.value.finding


def test_open_port_is_no_trouble() -> None:
    """Plain, and over TLS with a certificate that is trusted."""
    with Web() as plain, Web(tls=True) as secure:
        connect(at(plain.url), "--jaeger", 5)
        connect(at(secure.url), "--jaeger", 5, str(CERTIFICATE))
        assert not speaks_tls(at(plain.url), 5)
        assert speaks_tls(at(secure.url), 5)


def test_unknown_name_is_named() -> None:
    """DNS, with a reply on the names of Compose services."""
    found = _connection_why(at("http://otel-collector.invalid:1"))
    assert found.reason.startswith("DNS cannot resolve otel-collector.invalid (")
    assert "Names of Compose services" in found.remedy


def test_closed_port_is_refused() -> None:
    """With host and port, and how to start what should be there."""
    port = closed_port()
    found = _connection_why(at(f"http://127.0.0.1:{port}"))
    assert found.reason == f"connection refused: nothing listens on 127.0.0.1:{port}"
    assert "docker compose up" in found.remedy
    assert "--jaeger URL" in found.remedy


def test_silent_host_is_named() -> None:
    """A full queue of connections: no answer, as from behind a firewall."""
    with closing(socket.socket()) as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        where = server.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)  # noqa: FBT003 -- its one argument
            one.connect_ex(where)
        found = _connection_why(at(f"http://127.0.0.1:{where[1]}"))
        for one in waiting:
            one.close()
    assert found.reason == f"no connection to 127.0.0.1:{where[1]} within 0 s"
    assert "firewall" in found.remedy


def test_unreachable_network_is_named() -> None:
    """By the system's own words."""
    found = _connection_why(at("http://255.255.255.255:9"))
    assert found.reason.startswith("no connection to 255.255.255.255:9: ")


def test_untrusted_certificate_is_named() -> None:
    """With the variable that names the authority."""
    with Web(tls=True) as secure:
        found = _connection_why(at(secure.url))
    assert "is not trusted: self" in found.reason
    assert "OTEL_EXPORTER_OTLP_CERTIFICATE" in found.remedy


def test_plain_server_is_a_tls_mismatch() -> None:
    """When we are the one who speaks TLS."""
    with Web() as plain:
        found = _connection_why(at(plain.url.replace("http", "https")))
    assert found.reason.startswith("TLS mismatch: 127.0.0.1:")
    assert "http://" in found.remedy


def test_missing_authority_is_named(tmp_path: Path) -> None:
    """By the file's name."""
    missing = str(tmp_path / "ca.pem")
    with Web(tls=True) as secure:
        found = _connection_why(at(secure.url), missing)
    assert found.reason.startswith(f"the certificates of {missing} cannot be read")


_HOPS = (
    Hop(name="handler", state="reached", saw="3 spans", seconds=0.01234),
    Hop(
        name="jaeger",
        state="broken",
        address="http://j",
        troubles=(Finding("gone", "get it back"),),
        cautions=(Finding("clock skew", "NTP"),),
    ),
)


def test_report_as_json_has_everything() -> None:
    """Whole, for scripts."""
    report = Report("doctor", "mark", "abc", 1.23456, _HOPS)
    assert json.loads(json.dumps(report.as_data())) == {
        "ok": False,
        "service": "doctor",
        "instance": "mark",
        "trace_id": "abc",
        "seconds": 1.235,
        "hops": [
            {
                "name": "handler",
                "state": "reached",
                "address": "",
                "saw": "3 spans",
                "seconds": 0.012,
                "troubles": [],
                "cautions": [],
            },
            {
                "name": "jaeger",
                "state": "broken",
                "address": "http://j",
                "saw": "",
                "seconds": 0.0,
                "troubles": [{"reason": "gone", "remedy": "get it back"}],
                "cautions": [{"reason": "clock skew", "remedy": "NTP"}],
            },
        ],
    }


def test_cautions_break_nothing() -> None:
    """Only hops with troubles are broken."""
    assert Report("d", "m", "", 1, _HOPS).broken == _HOPS[1:]
    assert Report("d", "m", "", 1, _HOPS[:1]).broken == ()


def test_every_text_is_used() -> None:
    """By its name, in a check; what no check finds needs no text."""
    folder = Path(probe.__file__).parent
    code = "".join(path.read_text("utf-8") for path in folder.glob("*.py"))
    assert [name for name in probe.FINDINGS if f'"{name}"' not in code] == []


def test_trouble_has_its_reason() -> None:
    """In a traceback, too."""
    trouble = Trouble(Finding("gone", "get it back"))
    assert str(trouble) == "gone"
    assert trouble.finding == Finding("gone", "get it back")
