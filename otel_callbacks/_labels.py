"""What an app makes labels of the series of spend: ``OTEL_CALLBACKS_LABELS``.

``team:20,feature,langgraph_node,chain,tag.vip`` names keys of a run's metadata, the
outermost run's name (``chain``) and tags (``tag.NAME``), each with a limit of distinct
values if need be; ``gen_ai.agent.name``, ``gen_ai.prompt.name`` and
``gen_ai.prompt.version`` are the conventions' names for an agent and a prompt. What has
a value for each user or request is refused: it would make a series of each,
https://prometheus.io/docs/practices/naming/#labels
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from otel_callbacks import _semconv as semconv
from otel_callbacks._setting_values import SettingError

VARIABLE: Final = "OTEL_CALLBACKS_LABELS"
CHAIN: Final = "chain"
_TAG: Final = "tag."
_MOST: Final = 10
_LIMIT_AT_MOST: Final = 1_000_000
_ALLOWED: Final = (
    "names of metadata keys, chain or tag.NAME, divided by commas, each with a limit "
    "of distinct values if need be (team:20)"
)

_USER: Final = "it has a value for each user", "user.id"
_CONVERSATION: Final = "it has a value for each conversation", "gen_ai.conversation.id"
_REQUEST: Final = "it has a value for each request", "the trace's own ids"
_SECRET: Final = "it may hold a secret", ""
# Names without case, and without anything but letters and digits.
_REFUSED: Final = (
    (r"(end)?users?(id|uid|name|key|hash|mail|email)?", *_USER),
    (r"(uid|login|account|customer|member)(id|name)?", *_USER),
    (r"(e?mail|phone|telephone)(address|number)?", *_USER),
    (r"(client|remote|source|user)?ip(address|addr)?|remoteaddr(ess)?", *_USER),
    (r"device(id)?|cookie(id)?|fingerprint", *_USER),
    (r"session.*|sid", "it has a value for each session", "session.id"),
    (r"(thread|conversation|chat|dialogu?e).*", *_CONVERSATION),
    (r"message(id|uuid)?", *_REQUEST),
    (r"(request|trace|correlation|traceparent).*", *_REQUEST),
    (r"(parent|root|lsrun|langsmith)?runid|(parent)?spanid", *_REQUEST),
    (r"(job|task|event|document|order|ticket|invocation)(id|uuid)", *_REQUEST),
    (r"(uu|gu|ul)id|id|nonce|hash", *_REQUEST),
    (r"(time|date|timestamp|datetime|createdat|now)", *_REQUEST),
    (r"(langgraph)?checkpoint.*|langgraph(step|path|triggers)", *_REQUEST),
    (r"(prompt|question|query|input|output|answer)s?(text)?", *_SECRET),
    (r".*(apikey|password|secret|credential|authorization|accesstoken)", *_SECRET),
)
# Prometheus' own, and what the series of spend have already.
_TAKEN: Final = frozenset(
    {
        *("le", "quantile", "job", "instance", "type", "exported_job"),
        *(
            name.replace(".", "_")
            for name in (
                semconv.OPERATION_NAME,
                semconv.PROVIDER_NAME,
                semconv.REQUEST_MODEL,
                semconv.RESPONSE_MODEL,
                semconv.SERVER_ADDRESS,
                semconv.SERVER_PORT,
                semconv.TOKEN_TYPE,
                semconv.ERROR_TYPE,
            )
        ),
        *semconv.OUR_LABELS,
    }
)


# Names of the conventions that an app may choose, and the metadata's key of each.
_OF_CONVENTIONS: Final = {
    semconv.AGENT_NAME: "lc_agent_name",
    semconv.PROMPT_NAME: semconv.PROMPT_NAME,
    semconv.PROMPT_VERSION: semconv.PROMPT_VERSION,
}


class LabelChoice(NamedTuple):
    """One label that the app has chosen."""

    name: str
    """As Prometheus has it: letters, digits and underscores."""
    key: str
    """The metadata's key, or the tag; empty for the outermost run's name."""
    is_tag: bool = False
    """Whether the label says that a run has the tag ``key``."""
    limit: int | None = None
    """Distinct values; that of all labels where nothing is said."""


def label_choices(text: str) -> tuple[LabelChoice, ...]:
    """Read the labels that an app has chosen."""
    entries = [entry.strip() for entry in text.split(",") if entry.strip()]
    if len(entries) > _MOST:
        raise SettingError(VARIABLE, text, f"at most {_MOST} labels")
    chosen = tuple(_choice(entry) for entry in entries)
    names = [choice.name for choice in chosen]
    for name in names:
        if names.count(name) > 1:
            raise SettingError(VARIABLE, text, f"each label once, not {name!r} twice")
    return chosen


def labels(text: str) -> str:
    """Return the text of a choice as it is, once it is known to be right."""
    label_choices(text)
    return text


def _choice(entry: str) -> LabelChoice:
    """Read one label."""
    said, colon, number = entry.rpartition(":")
    key, limit = (said.strip(), _limit(entry, number)) if colon else (entry, None)
    if key in _OF_CONVENTIONS:
        return LabelChoice(key.replace(".", "_"), _OF_CONVENTIONS[key], limit=limit)
    is_tag = key.startswith(_TAG)
    name = re.sub("[^a-z0-9]+", "_", key, flags=re.IGNORECASE).strip("_")
    if not re.match("[a-z]", name, re.IGNORECASE):
        raise SettingError(VARIABLE, entry, f"{_ALLOWED}; a name begins with a letter")
    own = key.removeprefix(_TAG)
    _refuse(entry, own)
    if name in _TAKEN or name.startswith(("gen_ai", "otel_callbacks", "service")):
        allowed = f"a name that no series has yet; {name} is taken"
        raise SettingError(VARIABLE, entry, allowed)
    return LabelChoice(name, "" if key == CHAIN else own, is_tag, limit)


def _limit(entry: str, number: str) -> int:
    """Read the limit of a label."""
    text = number.strip()
    if text.isascii() and text.isdecimal() and 0 < int(text) <= _LIMIT_AT_MOST:
        return int(text)
    allowed = f"a whole number from 1 to {_LIMIT_AT_MOST} after the colon"
    raise SettingError(VARIABLE, entry, allowed)


def _refuse(entry: str, key: str) -> None:
    """Refuse a name whose values are without bound, and say where they are found."""
    plain = re.sub("[^a-z0-9]", "", key.lower())
    for pattern, reason, instead in _REFUSED:
        if re.fullmatch(pattern, plain):
            where = f"; look for it on spans, as {instead}" if instead else ""
            allowed = f"no label of this name: {reason}{where}"
            raise SettingError(VARIABLE, entry, allowed)
