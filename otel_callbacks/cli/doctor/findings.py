"""What the doctor found: hops, troubles with their remedies, and the whole report."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

State = Literal["reached", "answers", "broken", "skipped"]
"""How a hop is: the trace got there; it works, but no trace could be followed to it;
it has troubles; it was left out."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be, and what to do about it.

    Args:
        reason: What is wrong, as far as can be told.
        remedy: What to do.
    """

    reason: str
    remedy: str


class Trouble(Exception):  # noqa: N818 -- not an error of the doctor's
    """A hop cannot be followed any further.

    Args:
        reason: What is wrong.
        remedy: What to do.
    """

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.finding = Finding(reason, remedy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """One hop of the chain.

    Args:
        name: Its name, as ``--skip`` takes it.
        state: How it is.
        address: Where it is, without a password; empty for the handler.
        saw: What was seen there.
        seconds: How long it was looked at.
        troubles: Why it is broken.
        cautions: What does not break it, and should be known.
    """

    name: str
    state: State
    address: str = ""
    saw: str = ""
    seconds: float = 0.0
    troubles: tuple[Finding, ...] = ()
    cautions: tuple[Finding, ...] = ()

    def as_data(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "name": self.name,
            "state": self.state,
            "address": self.address,
            "saw": self.saw,
            "seconds": round(self.seconds, 3),
            "troubles": [_as_data(one) for one in self.troubles],
            "cautions": [_as_data(one) for one in self.cautions],
        }


@dataclass(frozen=True, slots=True)
class Report:
    """All hops.

    Args:
        service: The ``service.name`` that the fake chain went under.
        instance: Its ``service.instance.id``, the mark of this examination.
        trace_id: Its trace, in hex; empty when it was not sent.
        seconds: How long all took.
        hops: The hops, in the order of the chain.
    """

    service: str
    instance: str
    trace_id: str
    seconds: float
    hops: tuple[Hop, ...]

    @property
    def broken(self) -> tuple[Hop, ...]:
        """The hops with troubles."""
        return tuple(hop for hop in self.hops if hop.state == "broken")

    def as_data(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "ok": not self.broken,
            "service": self.service,
            "instance": self.instance,
            "trace_id": self.trace_id,
            "seconds": round(self.seconds, 3),
            "hops": [hop.as_data() for hop in self.hops],
        }

    def as_json(self) -> str:
        """Return it as JSON, with a line's end."""
        return json.dumps(self.as_data(), indent=2, ensure_ascii=False) + "\n"


def _as_data(finding: Finding) -> dict[str, str]:
    """Return a finding as JSON has it."""
    return {"reason": finding.reason, "remedy": finding.remedy}
