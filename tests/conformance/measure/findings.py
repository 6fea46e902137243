"""One thing that the runner would flag."""

from __future__ import annotations

from typing import NamedTuple


class Finding(NamedTuple):
    """A rule, and what breaks it.

    The runner counts each distinct one once, however often it occurs.
    """

    rule: str
    """The rule's name, as ``runner-rules.yaml`` has it."""
    where: str
    """The span, metric or event it was seen on."""
    detail: str
    """The attribute, unit or value that is wrong or missing."""
