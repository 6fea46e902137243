"""Which labels an app may choose, and which are refused with a reason."""

from __future__ import annotations

import pytest

from otel_callbacks import SettingError, Settings
from otel_callbacks._labels import LabelChoice, label_choices, labels


def test_the_forms_of_an_entry() -> None:
    """Keys, limits, the chain and tags."""
    assert label_choices(" team:20, cost-center ,chain,tag.vip:1,") == (
        LabelChoice("team", "team", limit=20),
        LabelChoice("cost_center", "cost-center"),
        LabelChoice("chain", ""),
        LabelChoice("tag_vip", "vip", is_tag=True, limit=1),
    )
    assert label_choices("") == ()
    assert labels("team:20") == "team:20"


@pytest.mark.parametrize(
    "name",
    [
        "user",
        "userId",
        "USER-ID",
        "session_name",
        "thread_id",
        "conversation",
        "requestId",
        "run_id",
        "trace",
        "span.id",
        "email",
        "ip",
        "tag.user_id",
    ],
)
def test_unbounded_names_are_refused(name: str) -> None:
    """The message names the variable, the value, the reason and another place."""
    with pytest.raises(
        SettingError, match=r"for each .*; look for it on spans, as "
    ) as e:
        Settings(labels=f"team,{name}")
    assert e.value.variable == "OTEL_CALLBACKS_LABELS"
    assert e.value.value == name


def test_secrets_are_refused() -> None:
    """What may hold what was said is on no signal."""
    with pytest.raises(SettingError, match=r"it may hold a secret$"):
        label_choices("api_key")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("outcome", "outcome is taken"),
        ("gen_ai.request.model", "gen_ai_request_model is taken"),
        ("le", "le is taken"),
        ("1st", "begins with a letter"),
        ("花", "begins with a letter"),
        ("team:0", "a whole number from 1"),
        ("team:x", "a whole number from 1"),
        ("team,team:2", "'team' twice"),
        ("cost.center,cost-center", "'cost_center' twice"),
        (",".join(f"a{n}" for n in range(11)), "at most 10 labels"),
    ],
)
def test_wrong_choices_are_refused(text: str, message: str) -> None:
    """Taken names, no names, wrong limits, too many."""
    with pytest.raises(SettingError, match=message):
        label_choices(text)


@pytest.mark.parametrize("name", ["user_tier", "tenant", "feature", "usergroup"])
def test_bounded_names_are_allowed(name: str) -> None:
    """A name that only looks like a refused one is none."""
    assert label_choices(name)[0].name == name
