"""The frozen records that cross every seam, and the protocols on both sides of them.

``_readers`` makes them from what LangChain hands over, ``_runs`` keeps them while a run
is open, sinks carry them outside. This module imports nothing local.
Records are named tuples: frozen, and made in a third of the time of a frozen
dataclass, which counts on the path of a model call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Context, Decimal
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeAlias

AttributeValue: TypeAlias = str | bool | int | float | tuple[str, ...]
"""A span attribute's value; OpenTelemetry knows no ``None``."""

Attributes: TypeAlias = Mapping[str, AttributeValue]
"""Span attributes by the name of the convention (``semconv``)."""

Content: TypeAlias = Mapping[str, Any]
"""What was said, by the name of the convention (``semconv.INPUT_MESSAGES``): lists and
dictionaries as JSON knows them, redacted and cut. Only where capture is on."""

Outcome: TypeAlias = Literal["ok", "error", "cancelled", "abandoned", "cache_hit"]
"""How a run ended, the label ``outcome``."""

OK: Final = "ok"
ERROR: Final = "error"
CANCELLED: Final = "cancelled"
ABANDONED: Final = "abandoned"
CACHE_HIT: Final = "cache_hit"

NO_ATTRIBUTES: Final[Attributes] = {}

EXACT: Final = Context(prec=200, traps=[])
"""For every sum of money: the app's own decimal context rounds, and may raise."""


class Refusal(RuntimeError):  # noqa: N818 -- what derives from it says what it is
    """A call must not be made, because the app has asked for a limit.

    The one exception that goes from here into the app. A ``RuntimeError``, as LangGraph
    does not retry those by default.
    """

    attributes: Attributes = NO_ATTRIBUTES
    """What the span says of the limit."""


class Request(NamedTuple):
    """What is known when a run starts."""

    operation: str
    """``gen_ai.operation.name``, or empty for an inner chain or node."""
    target: str
    """What the operation is done with: model, tool, data source or chain."""
    provider: str = ""
    model: str = ""
    server_address: str = ""
    server_port: int = 0
    attributes: Attributes = NO_ATTRIBUTES
    """All span attributes known at the start, those of the fields above too."""
    batch_size: int = 1
    """How many runs LangChain starts before it makes the first call of them."""
    labels: tuple[str, ...] = ()
    """Values of the labels that the settings allow, in their order."""
    thread: str = ""
    """The thread that a graph keeps its state under, if it keeps any."""
    resumes: bool = False
    """Whether a graph goes on where its thread was interrupted."""


class Usage(NamedTuple):
    """Tokens of one model call, as the provider counted them.

    The details are parts of the two totals and are never added to them.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0
    audio_input: int = 0
    audio_output: int = 0
    text_input: int = 0
    text_output: int = 0
    image_input: int = 0
    image_output: int = 0


DETAILS: Final = Usage._fields[2:7]
"""What is counted of a usage beside its totals; the rest is on spans alone."""


class Estimate(NamedTuple):
    """What goes into a call before the provider has counted it: rather too much."""

    tokens: int = 1
    shape: tuple[int, ...] = ()
    """Tells prompts apart whose estimates err in the same way."""
    answers: int = 1
    """How many are made and billed, though not all of them are given back."""


class Response(NamedTuple):
    """What a model gave back."""

    model: str = ""
    id: str = ""
    finish_reasons: tuple[str, ...] = ()
    usage: Usage | None = None
    usage_expected: bool = True
    """False where no usage is right: the later runs of one text batch."""
    cache_hit: bool = False
    """Answered by LangChain's own LLM cache: saved, not spent."""
    attributes: Attributes = NO_ATTRIBUTES
    """Further span attributes, by the convention's name."""
    reported_cost: Decimal | None = None
    """US dollars, where the provider said itself what the call cost."""
    billed: tuple[tuple[str, int], ...] = ()
    """What is billed at a rate of its own and is no part of the usage: its kind (those
    of ``_spend.rates``), and how much of it."""
    seen_tokens: int = 0
    """Tokens of the output that was seen, estimated where no usage was said."""


class Failure(NamedTuple):
    """Why a run did not end well."""

    outcome: Outcome
    error_type: str
    """``error.type``: the exception's class name, ``cancelled``, ``abandoned``."""
    error_class: str
    """One of the closed set in ``semconv.ERROR_CLASSES``."""
    attributes: Attributes = NO_ATTRIBUTES
    """Further span attributes: what the provider's refusal said about itself."""
    was_sent: bool = False
    """Whether the provider had the request and did not refuse it: it may be billed."""


class End(NamedTuple):
    """How one run ended; what every sink is given, once for each run."""

    outcome: Outcome
    end_ns: int
    """Unix time in nanoseconds."""
    response: Response | None = None
    failure: Failure | None = None
    chunk_ns: Sequence[int] = ()
    """``time.perf_counter_ns`` of each chunk of a stream, in order."""
    late: bool = False
    """The run had been given up as lost and reported as such before; what is new is
    its response."""
    cost: Decimal | None = None
    """US dollars: spent, or saved where a cache answered. None where the price is not
    known, or nothing was said of the tokens."""
    content: Content | None = None
    """What came back, where capture is on."""
    is_partly_priced: bool = False
    """Whether something is billed beside ``cost`` whose price is not known."""


class Cost(NamedTuple):
    """What a call cost."""

    usd: Decimal | None = None
    """US dollars; None where that is not known."""
    is_partial: bool = False
    """Whether a part of the call has a price that is not known, and is not in it."""


UNKNOWN_COST: Final = Cost()

Price: TypeAlias = Callable[[Request, Response, int], Cost]
"""Says what a call cost, by its request, its response and the Unix time in nanoseconds
of its start. Never raises."""


def no_price(request: Request, response: Response, start_ns: int) -> Cost:
    """Know no prices."""
    del request, response, start_ns
    return UNKNOWN_COST


class Start(Protocol):
    """What a callback is given of a run that starts: a named tuple."""

    @property
    def metadata(self) -> Any:
        """The run's metadata."""

    @property
    def tags(self) -> Any:
        """The run's tags."""

    def read(self) -> Request:
        """Read the run's request; raises what a foreign value raises."""


class Sink(Protocol):
    """Where records go. A sink that raises is logged, counted and passed over."""

    @property
    def name(self) -> str:
        """The label ``where`` of ``otel_callbacks_errors_total``."""

    @property
    def is_foreign(self) -> bool:
        """Whether it calls the app's providers, which may wait for a lock."""

    def started(self, run: Any) -> None:
        """Take a run that has just been put in the table."""

    def ended(self, run: Any, end: End) -> None:
        """Take the end of a run that is no longer in the table."""
