from __future__ import annotations

import json

from otel_callbacks.cli.doctor.findings import Finding, Hop, Report, Trouble

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
    assert report.as_json().endswith("}\n")
    assert json.loads(report.as_json()) == {
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


def test_trouble_says_its_reason() -> None:
    """In a traceback, too."""
    trouble = Trouble("gone", "get it back")
    assert str(trouble) == "gone"
    assert trouble.finding == Finding("gone", "get it back")
