"""Which accounts a run is on, what it reserves there, and its record."""

from __future__ import annotations

import gc
import logging
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from otel_callbacks import OTelCallbackHandler, Settings
from otel_callbacks._diagnostics import Counts, Diagnostics
from otel_callbacks._records import (
    NO_ATTRIBUTES,
    Cost,
    End,
    Estimate,
    Failure,
    Request,
    Response,
    Usage,
)
from otel_callbacks._runs.run import Run
from otel_callbacks._spend import accounts, ledger
from otel_callbacks._spend.accounts import Account
from otel_callbacks._spend.budgets import NOTHING, Amounts, Limits
from otel_callbacks._spend.ledger import Charge, LedgerSink
from otel_callbacks.accounting import BudgetExceeded, track_usage
from otel_callbacks.testing import FakeChatModel, capture

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_callbacks._records import Attributes
    from otel_callbacks.testing import Capture

USAGE: Any = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}
EXCEEDED = "otel_callbacks_budget_exceeded_total"
A_TOKEN = Decimal("0.01")


def price(request: Request, response: Response, start_ns: int) -> Cost:
    """Sell each token of one model for a cent."""
    del start_ns
    usage = response.usage or Usage()
    tokens = (usage.input_tokens or 0) + (usage.output_tokens or 0)
    return Cost(tokens * A_TOKEN) if request.model == "sold" else Cost()


@pytest.fixture
def sink() -> LedgerSink:
    """Return a sink of a pipeline with spans."""
    return LedgerSink(price, Diagnostics(strict=True), Counts())


@pytest.fixture
def account() -> Iterator[Account]:
    """Put an account of 100 tokens, one dollar and three calls on what runs here."""
    account = Account(Limits(100, Decimal(1), 3))
    token = accounts.current.set((account,))
    yield account
    accounts.current.reset(token)
    # Tests leave runs open, and give the next ones the same keys.
    ledger._charges.clear()


def run_of(
    key: int = 1,
    model: str = "sold",
    attributes: Attributes = NO_ATTRIBUTES,
    expected: int = 10,
    operation: str = "chat",
) -> Run:
    """Return a model call's run."""
    request = Request(operation, model, model=model, attributes=attributes)
    run = Run(key, request, None)
    run.expected = Estimate(expected)
    return run


def charge_of(run: Run) -> Charge:
    """Return what a run is charged with."""
    charge = run.account
    assert isinstance(charge, Charge)
    return charge


@pytest.mark.parametrize(
    ("attributes", "tokens"),
    [
        ({}, 100),
        ({"gen_ai.request.max_tokens": 20}, 30),
        ({"gen_ai.request.max_tokens": 20, "gen_ai.request.choice.count": 3}, 70),
        ({"gen_ai.request.max_tokens": 20, "gen_ai.request.choice.count": "3"}, 30),
        ({"gen_ai.request.max_tokens": "20"}, 100),
    ],
)
def test_a_call_reserves_its_prompt_and_its_limit(
    sink: LedgerSink, account: Account, attributes: Attributes, tokens: int
) -> None:
    """Each choice may be as long as ``max_tokens``, or else take all that is left."""
    run = run_of(attributes=attributes)
    sink.started(run)
    assert charge_of(run).on == (account,)
    assert account.reserved == Amounts(tokens, tokens * A_TOKEN, 1)


@pytest.mark.parametrize(
    ("limit", "reserved", "asked"), [(9_000, 4_106, 0), (11, 11, 0), (10, 0, 11)]
)
@pytest.mark.usefixtures("account")
def test_the_answer_of_a_new_model_may_be_long(
    sink: LedgerSink, limit: int, reserved: int, asked: int
) -> None:
    """It takes 4,096 tokens, or what is left if that is enough for one."""
    account, run = Account(Limits(limit)), run_of()
    token = accounts.current.set((account,))
    sink.started(run)
    accounts.current.reset(token)
    assert account.reserved.tokens == reserved
    assert getattr(run.refusal, "asked", 0) == asked


def test_a_prompt_without_an_estimate_is_one_token(
    sink: LedgerSink, account: Account
) -> None:
    """It has one answer."""
    run = run_of(attributes={"gen_ai.request.max_tokens": 20})
    run.expected = None
    sink.started(run)
    assert account.reserved == Amounts(21, 21 * A_TOKEN, 1)


def test_a_text_completion_reserves_its_answer_too(
    sink: LedgerSink, account: Account
) -> None:
    """As a chat does."""
    most = {"gen_ai.request.max_tokens": 20}
    sink.started(run_of(attributes=most, operation="text_completion"))
    assert account.reserved == Amounts(30, 30 * A_TOKEN, 1)


def test_a_call_has_one_answer_at_least(sink: LedgerSink, account: Account) -> None:
    """Whatever numbers of choices it asks for."""
    run = run_of(
        attributes={"gen_ai.request.max_tokens": 20, "gen_ai.request.choice.count": 0}
    )
    run.expected = Estimate(10, answers=0)
    sink.started(run)
    assert account.reserved == Amounts(30, 30 * A_TOKEN, 1)


def test_embeddings_have_no_answer(sink: LedgerSink, account: Account) -> None:
    """Only their texts are reserved."""
    sink.started(run_of(operation="embeddings"))
    assert account.reserved == Amounts(10, 10 * A_TOKEN, 1)


def test_a_lost_call_keeps_its_input_reserved(
    sink: LedgerSink, account: Account
) -> None:
    """What it could still have answered is free for the next call."""
    runs = [run_of(key, attributes={"gen_ai.request.max_tokens": 80}) for key in (1, 2)]
    sink.started(runs[0])
    runs[0].lost = "collected"
    sink.started(runs[1])
    assert runs[1].refusal is None
    assert account.reserved == Amounts(100, 100 * A_TOKEN, 2)


@pytest.mark.parametrize("first", ["unlimited", "warns", "has room"])
def test_each_account_is_asked(first: str) -> None:
    """A refusal of the inner block holds whatever the outer one says."""
    outer = {
        "unlimited": track_usage(),
        "warns": track_usage(max_tokens=1, on_exceed="warn"),
        "has room": track_usage(max_tokens=9_000),
    }
    with (
        outer[first] as usage,
        track_usage(max_tokens=1),
        pytest.raises(BudgetExceeded),
    ):
        FakeChatModel(usage=USAGE).invoke("Roses?")
    assert usage.call_count == 0


def test_an_end_is_put_on_an_account_in_one_step(sink: LedgerSink) -> None:
    """No other call ever finds it both spent and reserved, on any account."""
    accounts_of_it = Account(Limits(100)), Account(Limits(100))
    seen: list[Amounts] = []

    class Watched(dict[str, Any]):
        """Attributes of a request that are read while the call ends."""

        def get(self, name: str, default: Any = None) -> Any:
            seen[:] = [account.reserved for account in accounts_of_it]
            return super().get(name, default)

    token = accounts.current.set(accounts_of_it)
    run = run_of(attributes=Watched({"gen_ai.request.max_tokens": 20}))
    sink.started(run)
    accounts.current.reset(token)
    sink.ended(run, End("ok", run.start_ns, Response(usage=Usage(7, 3))))
    assert seen == [NOTHING, NOTHING]


def test_the_end_gives_back_what_was_not_used(
    sink: LedgerSink, account: Account
) -> None:
    """What the provider counted is spent, and nothing is reserved any more."""
    run = run_of(attributes={"gen_ai.request.max_tokens": 80})
    sink.started(run)
    sink.ended(run, End("ok", run.start_ns, Response(usage=Usage(7, 3))))
    assert account.reserved == NOTHING
    assert account.read()[0].total_tokens == 10


def test_a_refused_call_is_on_no_account(sink: LedgerSink, account: Account) -> None:
    """All accounts before the one that refuses get back what was reserved there."""
    narrow = Account(Limits(tokens=5))
    token = accounts.current.set((account, narrow))
    run = run_of()
    sink.started(run)
    accounts.current.reset(token)
    assert isinstance(run.refusal, BudgetExceeded)
    assert not run.counted
    assert account.reserved == NOTHING
    sink.ended(run, End("error", run.start_ns))
    assert account.read()[0].calls == narrow.read()[0].calls == 0


def test_a_run_of_two_pipelines_is_on_an_account_once(
    sink: LedgerSink, account: Account
) -> None:
    """The pipeline with spans tells of its end, whichever began."""
    bare = LedgerSink(price, Diagnostics(strict=True), Counts(), has_spans=False)
    first, second, third = run_of(), run_of(), run_of()
    bare.started(first)
    sink.started(second)
    sink.started(third)
    assert charge_of(first) is charge_of(second) is charge_of(third)
    assert charge_of(first).owner is second
    for spent, (run, teller) in enumerate(
        ((first, bare), (third, sink), (second, sink))
    ):
        teller.ended(run, End("ok", run.start_ns, Response(usage=Usage(7, spent))))
    assert [call.usage for call in account.read()[3]] == [Usage(7, 2)]
    assert account.reserved == NOTHING


def test_the_first_of_two_pipelines_with_spans_tells_the_end(
    sink: LedgerSink, account: Account
) -> None:
    """The record has the ids of its span."""
    other = LedgerSink(price, Diagnostics(strict=True), Counts())
    first, second = run_of(), run_of()
    sink.started(first)
    other.started(second)
    sink.ended(first, End("ok", first.start_ns, Response(usage=Usage(7, 3))))
    assert account.read()[0].calls == 1


def test_late_tokens_are_put_to_their_call(sink: LedgerSink, account: Account) -> None:
    """They give nothing back a second time and are no second call."""
    run = run_of()
    sink.started(run)
    sink.ended(run, End("abandoned", run.start_ns))
    late = Response(usage=Usage(7, 3))
    sink.ended(run, End("abandoned", run.start_ns, late, late=True))
    totals, _, _, calls = account.read()
    assert (totals.calls, totals.total_tokens) == (1, 10)
    assert calls[0].usage == Usage(7, 3)
    assert account.reserved == NOTHING


def test_closed_accounts_and_no_accounts(sink: LedgerSink, account: Account) -> None:
    """A block that has been left takes no new calls."""
    account.closed = True
    run = run_of()
    sink.started(run)
    sink.ended(run, End("ok", run.start_ns))
    assert run.account is None
    assert account.read()[0].calls == 0


def test_steps_hand_their_accounts_down(sink: LedgerSink, account: Account) -> None:
    """A call is on its chain's accounts wherever it runs; the chain is no call."""
    step = Run(1, Request("", "step"), None)
    sink.started(step)
    token = accounts.current.set(())
    run = Run(2, run_of().request, step)
    sink.started(run)
    accounts.current.reset(token)
    sink.ended(run, End("ok", run.start_ns, Response(usage=Usage(7, 3))))
    sink.ended(step, End("ok", step.start_ns))
    assert account.read()[0].calls == 1
    assert account.read()[0].total_tokens == 10


def test_warnings_are_logged_once_and_all_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The calls are made; the log stays readable."""
    with capture() as telemetry, caplog.at_level(logging.DEBUG, "otel_callbacks"):
        llm = FakeChatModel(usage=USAGE, callbacks=[telemetry.handler])
        with track_usage(max_calls=1, on_exceed="warn") as usage:
            for _ in range(3):
                llm.invoke("Roses?")
        assert telemetry.value(EXCEEDED, budget="calls", action="warn") == 2
    assert (usage.call_count, usage.refused) == (3, 0)
    said = [
        one.getMessage()
        for one in caplog.records
        if "reserved" in one.message or "spent" in one.message
    ]
    assert len(said) == 1
    assert "1 of 1 calls spent, this call may count 1; on_exceed is 'warn'" in said[0]


def test_refusals_are_counted(telemetry: Capture) -> None:
    """By budget and by what was done; no operation and no token is."""
    llm = FakeChatModel(usage=USAGE, callbacks=[telemetry.handler])
    with track_usage(max_tokens=3) as usage, pytest.raises(BudgetExceeded):
        llm.invoke("Roses?")
    assert telemetry.value(EXCEEDED, budget="tokens", action="raise") == 1
    assert telemetry.value("otel_callbacks_operations_total") == 0
    assert (usage.call_count, usage.refused) == (0, 1)
    assert telemetry.span("chat fake-model")["status"] == "ERROR"


def test_a_refusal_without_memory_is_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """It reaches the app, and the call that was not made is on no account."""
    errors = [MemoryError]

    class Full(dict[int, Charge]):
        """The open charges, from which one cannot be removed at first."""

        def pop(self, *args: Any) -> Any:
            if errors:
                raise errors.pop()
            return super().pop(*args)

    monkeypatch.setattr(ledger, "_charges", Full())
    with capture(Settings()) as telemetry, track_usage(max_tokens=1) as usage:
        with pytest.raises(BudgetExceeded):
            FakeChatModel(callbacks=[telemetry.handler]).invoke("Roses?")
        assert not errors
        assert (usage.call_count, usage.refused) == (0, 1)


def test_a_cost_budget_logs_models_without_a_price(
    account: Account, caplog: pytest.LogCaptureFixture
) -> None:
    """A model without a known price is named once, and let through."""
    sink = LedgerSink(price, Diagnostics(strict=False), Counts())
    with caplog.at_level(logging.DEBUG, "otel_callbacks"):
        for key in (1, 2):
            run = run_of(key, "unknown", {"gen_ai.request.max_tokens": 5})
            sink.started(run)
            assert account.reserved == Amounts(15 * key, Decimal(0), key)
    assert caplog.text.count("'unknown' is not known") == 1


def test_what_never_gets_known_stays_assumed(
    sink: LedgerSink, account: Account
) -> None:
    """A late end without tokens changes nothing; the later runs of a batch are none."""
    run = run_of()
    sink.started(run)
    sink.ended(run, End("abandoned", run.start_ns, chunk_ns=(1, 2)))
    sink.ended(run, End("abandoned", run.start_ns, Response(), late=True))
    assert account.read()[0].assumed_tokens == 12
    later = run_of(2)
    sink.started(later)
    sink.ended(later, End("ok", run.start_ns, Response(usage_expected=False)))
    assert account.read()[0].assumed_tokens == 12


def test_tokens_that_come_late_take_the_place_of_what_was_assumed(
    sink: LedgerSink, account: Account
) -> None:
    """Nothing is counted twice."""
    run = run_of()
    sink.started(run)
    sink.ended(run, End("abandoned", run.start_ns))
    assert account.read()[0].unknown_calls == 1
    late = Response(usage=Usage(7, 3))
    end = End("abandoned", run.start_ns, late, late=True, cost=10 * A_TOKEN)
    sink.ended(run, end)
    totals = account.read()[0]
    assert (totals.unknown_calls, totals.assumed_tokens, totals.assumed_cost) == (  # type: ignore[comparison-overlap]
        *(0, 0, 0),
    )
    assert (totals.total_tokens, totals.cost) == (10, 10 * A_TOKEN)


def test_late_tokens_of_an_unpriced_call_cost_nothing(
    sink: LedgerSink, account: Account
) -> None:
    """Neither what was assumed of it nor what it used has a price."""
    run = run_of(model="unknown")
    sink.started(run)
    sink.ended(run, End("abandoned", run.start_ns))
    late = Response(usage=Usage(7, 3))
    sink.ended(run, End("abandoned", run.start_ns, late, late=True))
    totals = account.read()[0]
    assert (totals.total_tokens, totals.assumed_tokens) == (10, 0)
    assert (totals.cost_usd, float(totals.assumed_cost)) == (0, 0)


@pytest.mark.parametrize(("on_unpriced", "lines"), [("allow", 0), ("count", 1)])
def test_without_a_price_a_call_is_let_through(
    caplog: pytest.LogCaptureFixture, on_unpriced: str, lines: int
) -> None:
    """Said once or not at all; within a block that has no limit, too."""
    llm = FakeChatModel(usage=USAGE)
    with (
        track_usage() as outer,
        track_usage(max_cost_usd=0.000001, on_unpriced=on_unpriced) as usage,
    ):
        for _ in range(20):
            llm.invoke("Roses?")
    assert usage.unpriced_tokens == outer.total_tokens == 200
    assert caplog.text.count("cannot hold it back") <= lines


def test_other_limits_hold_whether_or_not_a_price_is_known() -> None:
    """Without a known price by the number of calls, and with one by its amount."""
    priced = FakeChatModel(usage=USAGE, provider="openai", model_name="gpt-4o")
    for llm, on_unpriced in ((FakeChatModel(usage=USAGE), "count"), (priced, "raise")):
        with track_usage(max_cost_usd=1, max_calls=1, on_unpriced=on_unpriced) as usage:
            llm.invoke("Roses?")
            with pytest.raises(BudgetExceeded, match="1 of 1 calls spent"):
                llm.invoke("Roses?")
        assert (usage.call_count, usage.refused) == (1, 1)


def test_a_call_without_a_price_is_refused_if_so_set() -> None:
    """By the reason, and none of them is made."""
    llm = FakeChatModel(usage=USAGE)
    with (
        track_usage(max_cost_usd=0.000001, on_unpriced="raise") as usage,
        pytest.raises(BudgetExceeded, match="the price of this call is not known"),
    ):
        llm.invoke("Roses?")
    assert (usage.call_count, usage.refused) == (0, 1)
    with pytest.raises(ValueError, match="on_unpriced='x': must be 'raise'"):
        track_usage(on_unpriced="x")


@pytest.mark.parametrize(
    ("outer", "inner", "lines"),
    [
        ({"max_cost_usd": 1, "on_unpriced": "allow"}, {"max_cost_usd": 1}, 1),
        ({"max_cost_usd": 1}, {"max_cost_usd": 1, "on_unpriced": "allow"}, 1),
        ({"max_tokens": 9_000}, {"max_cost_usd": 1, "on_unpriced": "allow"}, 0),
        ({"max_tokens": 9_000}, {"max_cost_usd": 1}, 1),
        ({"max_tokens": 9_000, "on_unpriced": "raise"}, {"max_cost_usd": 1}, 1),
        ({}, {"max_cost_usd": 1}, 1),
        ({}, {"max_cost_usd": 1, "on_unpriced": "allow"}, 0),
        ({}, {"max_tokens": 9_000}, 0),
    ],
)
def test_only_a_budget_of_money_needs_a_price(
    telemetry: Capture,
    caplog: pytest.LogCaptureFixture,
    outer: dict[str, Any],
    inner: dict[str, Any],
    lines: int,
) -> None:
    """It is logged where one of them counts such calls as unpriced."""
    llm = FakeChatModel(usage=USAGE, callbacks=[telemetry.handler])
    with track_usage(**outer), track_usage(**inner):
        llm.invoke("Roses?")
    assert caplog.text.count("cannot hold it back") == lines


NOT_SENT = Failure("error", "ConnectError", "connection")
SENT = NOT_SENT._replace(was_sent=True)


@pytest.mark.parametrize(
    ("operation", "outcome", "response", "failure", "chunks", "tokens"),
    [
        ("chat", "ok", Response(usage=Usage(7, 3)), None, 0, 0),
        ("chat", "ok", Response(usage=Usage(7, 3)), None, 3, 0),
        ("chat", "ok", Response(usage=Usage(None, 3)), None, 0, 10),
        ("text_completion", "ok", Response(usage=Usage(7), seen_tokens=3), None, 0, 3),
        ("chat", "ok", Response(), None, 0, 10),
        ("chat", "ok", Response(seen_tokens=5), None, 3, 15),
        ("chat", "ok", Response(seen_tokens=1), None, 3, 13),
        ("chat", "ok", Response(seen_tokens=50), None, 3, 50),
        ("embeddings", "ok", Response(usage=Usage(7)), None, 0, 0),
        ("embeddings", "ok", Response(), None, 0, 10),
        ("chat", "cache_hit", Response(), None, 0, 0),
        ("chat", "error", None, None, 0, 0),
        ("chat", "error", None, NOT_SENT, 0, 0),
        ("chat", "error", None, SENT, 0, 10),
        ("chat", "error", None, NOT_SENT, 2, 12),
        ("chat", "cancelled", None, None, 0, 10),
        ("chat", "abandoned", None, None, 3, 13),
    ],
)
def test_what_the_provider_does_not_count_is_assumed(
    sink: LedgerSink,
    account: Account,
    operation: Any,
    outcome: Any,
    response: Response | None,
    failure: Failure | None,
    chunks: int,
    tokens: int,
) -> None:
    """Input that was sent, and output that came, at most what two answers may have."""
    answers = {"gen_ai.request.max_tokens": 20, "gen_ai.request.choice.count": 2}
    run = run_of(attributes=answers, operation=operation)
    sink.started(run)
    sink.ended(run, End(outcome, run.start_ns, response, failure, range(chunks)))
    totals = account.read()[0]
    assert totals.assumed_tokens == tokens
    assert totals.assumed_cost == tokens * A_TOKEN
    assert totals.unknown_calls == (tokens > 0)


def test_only_answers_are_learned_from(sink: LedgerSink, account: Account) -> None:
    """A call that was cut short says nothing about the length of an answer."""
    cut_short, after = run_of(1), run_of(2)
    sink.started(cut_short)
    sink.ended(cut_short, End("cancelled", cut_short.start_ns, chunk_ns=(1, 2)))
    assert account.read()[0].assumed_tokens == 12
    sink.started(after)
    assert account.reserved == Amounts(88, 88 * A_TOKEN, 1)


def test_a_batch_that_was_never_started_whole_is_forgotten(
    sink: LedgerSink, account: Account
) -> None:
    """What remains of it is not taken for a part of the next one."""
    ok = Response(usage=Usage(1, 1))
    request = run_of(attributes={"gen_ai.request.max_tokens": 1}).request
    request = request._replace(batch_size=3)
    runs = [Run(key, request, None) for key in (1, 2, 3)]
    for run in runs[:2]:
        sink.started(run)
    sink.ended(runs[0], End("ok", 1, ok))
    sink.started(runs[2])
    # No surface shows which starts it takes for one batch.
    (batch,) = ledger._batches.values()
    assert [charge.owner for charge in batch] == runs[2:]
    del batch
    for run in runs[1:]:
        sink.ended(run, End("ok", 1, ok))
    assert not ledger._batches
    assert account.read()[0].calls == 3


@pytest.mark.parametrize(("parents", "left"), [("0000", 60), ("0101", 40)])
def test_a_refusal_releases_its_own_batch(
    sink: LedgerSink, account: Account, parents: str, left: int
) -> None:
    """Another batch of the same thread goes on, before it or beside it."""
    steps = {"0": None, "1": Run(1, Request("", "step"), None)}
    for key, parent in enumerate(parents, 2):
        most = {"gen_ai.request.max_tokens": 30 if key % 2 else 10}
        request = run_of(attributes=most).request._replace(batch_size=2)
        run = Run(key, request, steps[parent])
        run.expected = Estimate(10)
        sink.started(run)
    assert run.refusal is not None
    assert account.reserved.tokens == left


def test_limits_of_open_runs_hold_without_telemetry() -> None:
    """A stream that nobody reads is lost, and spent, with the SDK disabled, too."""
    settings = Settings(sdk_disabled=True, run_limit=1, strict=True)
    handler = OTelCallbackHandler(settings=settings)
    with track_usage() as usage:
        streams = [FakeChatModel().stream("?", {"callbacks": [handler]}) for _ in "abc"]
        for stream in streams:
            next(stream)
        assert {k: v.calls for k, v in usage.by_outcome.items()} == {"abandoned": 2}


def test_a_call_that_a_collection_ends_is_on_its_account_at_once() -> None:
    """No thread comes between: the next call may need what this one releases."""
    seen: list[int] = []
    with capture(Settings()) as telemetry, track_usage() as usage:
        handler, run_id = telemetry.handler, uuid4()
        handler.on_chat_model_start({}, [["?"]], run_id=run_id)

        class Ends:
            """An object whose finalizer ends the call."""

            def __init__(self) -> None:
                self.itself = self

            def __del__(self) -> None:
                handler.on_llm_error(GeneratorExit(), run_id=run_id)
                seen.append(usage.call_count)

        Ends()
        gc.collect()
    assert seen == [1]


def test_a_record_has_the_duration_of_its_call(
    sink: LedgerSink, account: Account
) -> None:
    """In seconds."""
    run = run_of()
    sink.started(run)
    sink.ended(run, End("ok", run.start_ns + 1_500_000_000))
    (call,) = account.read()[3]
    assert call.seconds == 1.5
