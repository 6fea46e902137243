"""The frozen records that packages exchange, and the protocols of those who use them.

``_readers`` makes them from LangChain's payloads, ``_runs`` keeps them while a run is
open, sinks emit them. This module imports nothing local.
Records are named tuples: frozen, and made in a third of the time of a frozen
dataclass, which matters in the hot path of a model call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Context, Decimal
from operator import itemgetter
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeAlias

AttributeValue: TypeAlias = str | bool | int | float | tuple[str, ...]
"""A span attribute's value; OpenTelemetry does not allow ``None``."""

Attributes: TypeAlias = Mapping[str, AttributeValue]
"""Span attributes by their name in the conventions (``semconv``)."""

Content: TypeAlias = Mapping[str, Any]
"""Content by its attribute's name (``semconv.INPUT_MESSAGES``): values of JSON types,
redacted and cut. Only where capture is on."""

Outcome: TypeAlias = Literal["ok", "error", "cancelled", "abandoned", "cache_hit"]
"""The outcome of a run: the label ``outcome``."""

OK: Final = "ok"
ERROR: Final = "error"
CANCELLED: Final = "cancelled"
ABANDONED: Final = "abandoned"
CACHE_HIT: Final = "cache_hit"

NO_ATTRIBUTES: Final[Attributes] = {}

EXACT: Final = Context(prec=200, traps=[])
"""For every sum of money: the app's own decimal context rounds, and may raise."""


class Refusal(RuntimeError):  # noqa: N818 -- subclasses name the reason
    """A call is refused because of a limit that the app has set.

    The only exception that is raised into the app. A ``RuntimeError``, as LangGraph
    does not retry those by default.
    """

    attributes: Attributes = NO_ATTRIBUTES
    """Span attributes of the limit."""


class Request(NamedTuple):
    """The request of a run, read at its start."""

    operation: str
    """``gen_ai.operation.name``, or empty for an inner chain or node."""
    target: str
    """The object of the operation: model, tool, data source or chain."""
    provider: str = ""
    model: str = ""
    server_address: str = ""
    server_port: int = 0
    attributes: Attributes = NO_ATTRIBUTES
    """All span attributes known at the start, including those of the fields above."""
    batch_size: int = 1
    """The number of runs that LangChain starts before the first of their calls."""
    labels: tuple[str, ...] = ()
    """Values of the labels in the settings, in the same order."""
    thread: str = ""
    """The thread id of a graph's state, if the graph keeps state."""
    resumes: bool = False
    """Whether a graph resumes an interrupted thread."""


class Usage(NamedTuple):
    """Tokens of one model call, as counted by the provider.

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


with_series: Final = itemgetter(slice(2, 7))
"""Selects the details that have series; the others are on spans only."""
DETAILS: Final[tuple[str, ...]] = with_series(Usage._fields)


class Estimate(NamedTuple):
    """The estimated input of a call before the provider counts it; errs high."""

    tokens: int = 1
    shape: tuple[int, ...] = ()
    """Equal for prompts whose estimates have about the same error."""
    answers: int = 1
    """The number of choices that are billed, though not all of them are returned."""


class Response(NamedTuple):
    """The response of a run."""

    model: str = ""
    id: str = ""
    finish_reasons: tuple[str, ...] = ()
    usage: Usage | None = None
    usage_expected: bool = True
    """False where a missing usage is correct: the later runs of one text batch."""
    cache_hit: bool = False
    """Answered by LangChain's own LLM cache: saved, not spent."""
    attributes: Attributes = NO_ATTRIBUTES
    """Further span attributes, by the convention's name."""
    reported_cost: Decimal | None = None
    """US dollars, where the provider reports the cost of the call."""
    billed: tuple[tuple[str, int], ...] = ()
    """Kinds (those of ``_spend.rates``) and amounts that are billed separately from the
    usage."""
    seen_tokens: int = 0
    """Estimated tokens of the output received, where the usage is missing."""


class Failure(NamedTuple):
    """The failure of a run."""

    outcome: Outcome
    error_type: str
    """``error.type``: the exception's class name, ``cancelled``, ``abandoned``."""
    error_class: str
    """One of the closed set in ``semconv.ERROR_CLASSES``."""
    attributes: Attributes = NO_ATTRIBUTES
    """Further span attributes, from the provider's error response."""
    was_sent: bool = False
    """Whether the provider may have accepted the request, and bill it."""


class End(NamedTuple):
    """The end of a run, passed to every sink once for each run."""

    outcome: Outcome
    end_ns: int
    """Unix time in nanoseconds."""
    response: Response | None = None
    failure: Failure | None = None
    chunk_ns: Sequence[int] = ()
    """``time.perf_counter_ns`` of each chunk of a stream, in order."""
    late: bool = False
    """The run was reported as lost before; only its response is new."""
    cost: Decimal | None = None
    """US dollars: spent, or saved by a cache hit. None if the price or the usage is
    unknown."""
    content: Content | None = None
    """Content of the response, where capture is on."""
    is_partly_priced: bool = False
    """Whether a part with an unknown price is billed in addition to ``cost``."""


class Cost(NamedTuple):
    """The cost of a call."""

    usd: Decimal | None = None
    """US dollars; None if unknown."""
    is_partial: bool = False
    """Whether ``usd`` lacks a part of the call whose price is unknown."""


UNKNOWN_COST: Final = Cost()

Price: TypeAlias = Callable[[Request, Response, int], Cost]
"""Returns the cost of a call from its request, its response and its start as Unix time
in nanoseconds. Never raises."""


def no_price(request: Request, response: Response, start_ns: int) -> Cost:
    """Return an unknown cost for every call."""
    del request, response, start_ns
    return UNKNOWN_COST


class Start(Protocol):
    """The callback's arguments at the start of a run: a named tuple."""

    @property
    def metadata(self) -> Any:
        """The run's metadata."""

    @property
    def tags(self) -> Any:
        """The run's tags."""

    def read(self) -> Request:
        """Read the run's request; exceptions of foreign values propagate."""


class Sink(Protocol):
    """A destination of records; a sink's errors are logged, counted and not raised."""

    @property
    def name(self) -> str:
        """The label ``where`` of ``otel_callbacks_errors_total``."""

    @property
    def is_foreign(self) -> bool:
        """Whether the sink calls the app's providers, which may wait for a lock."""

    def started(self, run: Any) -> None:
        """Handle a run that was just added to the table."""

    def ended(self, run: Any, end: End) -> None:
        """Handle the end of a run that is no longer in the table."""
