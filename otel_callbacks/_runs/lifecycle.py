"""The lifecycle of a run: start, chunk, end, fail.

An error while a payload is read costs an attribute, one log line and one count, never
the span and never the app.
"""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from otel_callbacks import _semconv as semconv
from otel_callbacks._content.capture import NOTHING, Capture, copy_to_agent
from otel_callbacks._readers.errors import failure, interruption
from otel_callbacks._readers.estimate import output_tokens, prompt_estimate
from otel_callbacks._readers.labels import add_labels
from otel_callbacks._readers.response import model_response
from otel_callbacks._readers.steps import configured, enclosing_run_id, tool_failed
from otel_callbacks._readers.values import first_of, plain
from otel_callbacks._records import CACHE_HIT, ERROR, OK, Failure, Request, Response
from otel_callbacks._runs.run import run_key
from otel_callbacks._setting_values import label_choices
from otel_callbacks._spend.accounts import accounts_in_use

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from otel_callbacks._content.capture import Captured, Redact
    from otel_callbacks._diagnostics import Diagnostics
    from otel_callbacks._readers.request import ModelStart
    from otel_callbacks._readers.steps import Configured
    from otel_callbacks._records import Estimate, Outcome, Start
    from otel_callbacks._runs.run import Run
    from otel_callbacks._runs.table import RunTable
    from otel_callbacks.settings import Settings

_T = TypeVar("_T")

_tick: Final = time.perf_counter_ns
_UNREAD: Final = Response()
_UNREAD_CALLS: Final = {name: Request(name, "") for name in semconv.MODEL_OPERATIONS}
_UNREAD_FAILURE: Final = Failure(ERROR, semconv.ERROR_TYPE_OTHER, semconv.OTHER)


class Pipeline(NamedTuple):
    """The table, diagnostics and settings of a handler."""

    table: RunTable
    diagnostics: Diagnostics
    step_out: Callable[[Any], None]
    """Called with a run at its stream's first chunk."""
    settings: Settings


class Lifecycle:
    """Reads a handler's callbacks and updates the table of open runs."""

    __slots__ = ("_capture", "_diagnostics", "_labels", "_step_out", "_table")

    def __init__(self, pipeline: Pipeline, redact: Redact | None = None) -> None:
        self._table = pipeline.table
        self._capture: Capture | None = None
        settings = pipeline.settings
        if settings.capture_content != "NO_CONTENT":
            self._capture = Capture(
                redact,
                settings.content_limit,
                extensions=settings.extensions,
                exceptions=settings.has_events,
            )
        choices = label_choices(settings.labels)
        self._labels = [(choice.key, choice.is_tag) for choice in choices]
        self._diagnostics = pipeline.diagnostics
        self._step_out = pipeline.step_out

    def start_call(
        self,
        start: ModelStart,
        run_id: UUID,
        parent_id: UUID | None,
        payloads: object,
    ) -> None:
        """Start a model run."""
        payload: object
        error: Exception | None = None
        if type(payloads) is list and payloads:
            payload = payloads[0]
        else:
            payload, error = _read(first_of, payloads)
        unread, more = _UNREAD_CALLS[start.operation], start.invocation_params
        self.start(start, unread, run_id, parent_id, payload, more, error)

    def start(
        self,
        start: Start,
        unread: Request,
        run_id: UUID,
        parent_id: UUID | None,
        payload: object,
        more: object = None,
        trouble: Exception | None = None,
    ) -> None:
        """Start a run."""
        run: Run | None = None
        try:
            if self._table.is_duplicate(run_id, id(payload)):
                return
            try:
                request = self._request(start)
            except Exception as error:  # noqa: BLE001 -- the span matters more
                reread = _read(self._reread, start)[0]
                request, trouble = unread if reread is None else reread, error
            parent_id, request, caller, unplaced = _placed(parent_id, request)
            trouble = trouble or unplaced
            capture = self._capture
            captured = capture.of_start(request, payload, more) if capture else NOTHING
            content = captured.content
            expected = _expected(request, payload, more)
            run = self._table.start(
                run_id, parent_id, request, id(payload), content, expected
            )
            if caller is not None and run.parent_run is not None:
                _name(run.parent_run, caller)
            if trouble is not None:
                self._diagnostics.trouble("request", trouble)
            if captured is not NOTHING:
                self._report_content(captured, run)
        except Exception as error:  # noqa: BLE001 -- never into the app
            run = run or self._table.find(run_key(run_id))
            if run is None:
                again = functools.partial(self._again, start, unread, run_id, parent_id)
                run = _read(again, (payload, more))[0]
            else:
                _read(self._table.complete_start, run)
            self.trouble("start", error)
        if run is not None and (refusal := run.refusal) is not None:
            self.fail(run_id, refusal)
            raise refusal

    def _again(
        self,
        start: Start,
        unread: Request,
        run_id: UUID,
        parent_id: UUID | None,
        payloads: tuple[object, object],
    ) -> Run:
        """Start a run whose start failed, for example without memory.

        It has the data that can be read, and no content.
        """
        payload, more = payloads
        request = _read(self._request, start)[0] or unread
        expected = _read(functools.partial(_expected, request, payload), more)[0]
        return self._table.start(
            run_id, parent_id, request, id(payload), expected=expected
        )

    def _request(self, start: Start) -> Request:
        """Read the request of a run."""
        request = start.read()
        if self._labels:
            request = add_labels(request, start, self._labels)
        return request

    def _reread(self, start: Start) -> Request:
        """Read the request without the values that may have raised."""
        values: Any = start
        return self._request(type(values)(*map(plain, values)))

    def chunk(self, run_id: object) -> None:
        """Record a chunk; the first one of a stream releases the current span."""
        try:
            run = self._table.find(run_key(run_id))
            if run is None:
                return
            if run.chunks is None:
                self._table.stream(run)
                self._step_out(run)
            else:
                run.chunks.append(_tick())
        except Exception as error:  # noqa: BLE001 -- never into the app
            self.trouble("chunk", error)

    def end(
        self,
        run_id: UUID,
        reader: Callable[[Any], Response] | None = None,
        payload: Any = None,
    ) -> None:
        """End a successful run."""
        try:
            run = self._table.take(run_id, is_call=reader is not None)
            if run is None and not self._table.is_lost(run_id):
                return
            response, trouble = _read(reader, payload)
            if reader is not None and response is None:
                response = _UNREAD
            if run is None:
                self._table.finish_late(run_id, response or _UNREAD)
            else:
                if run.account is not None:
                    response = _with_seen(response, payload)
                hit = response is not None and response.cache_hit
                outcome: Outcome = CACHE_HIT if hit else OK
                if self._capture is None:
                    self._table.finish(run, outcome, response)
                else:
                    captured = self._captured(run, payload)
                    self._table.finish(run, outcome, response, None, captured.content)
                    self._report_content(captured)
            if trouble is not None:
                self._diagnostics.trouble("response", trouble)
        except Exception as error:  # noqa: BLE001 -- never into the app
            self._table.finish_later(run_id)
            self.trouble("end", error)
        except BaseException:
            self._table.finish_later(run_id)
            raise

    def end_tool(self, run_id: UUID, output: Any) -> None:
        """End a tool run, whose error the tool may have handled."""
        try:
            run = self._table.take(run_id, is_call=False)
            if run is None:
                return
            call_id = run.request.attributes.get(semconv.TOOL_CALL_ID)
            failed, trouble = _read(
                functools.partial(tool_failed, call_id=call_id), output
            )
            outcome = failed.outcome if failed else OK
            captured = self._captured(run, output)
            self._table.finish(run, outcome, None, failed, captured.content)
            self._report_content(captured)
            if trouble is not None:
                self._diagnostics.trouble("tool_output", trouble)
        except Exception as error:  # noqa: BLE001 -- never into the app
            self._table.finish_later(run_id)
            self.trouble("end", error)
        except BaseException:
            self._table.finish_later(run_id)
            raise

    def fail(self, run_id: UUID, error: BaseException, partial: Any = None) -> None:
        """End a run that failed."""
        try:
            run = self._table.take(run_id)
            if run is None and not self._table.is_lost(run_id):
                return
            reader = None if partial is None else model_response
            response, trouble = _read(reader, partial)
            if run is None:
                self._table.finish_late(run_id, response or _UNREAD)
            else:
                failed, unread = _read(failure, error)
                if unread is not None:
                    failed = _UNREAD_FAILURE
                if failed is None:
                    response = interruption(error)
                if run.account is not None:
                    response = _with_seen(response, partial)
                outcome = failed.outcome if failed else OK
                captured = self._captured(run, partial, error)
                self._table.finish(run, outcome, response, failed, captured.content)
                self._report_content(captured)
                trouble = trouble or unread
            if trouble is not None:
                self._diagnostics.trouble("response", trouble)
        except Exception as trouble:  # noqa: BLE001 -- never into the app
            self._table.finish_later(run_id)
            self.trouble("end", trouble)
        except BaseException:
            self._table.finish_later(run_id)
            raise

    def _captured(
        self, run: Run, payload: object, error: BaseException | None = None
    ) -> Captured:
        """Read the output, if capture is on."""
        if self._capture is None:
            return NOTHING
        return self._capture.of_end(run.request, run.content, payload, error)

    def _report_content(self, captured: Captured, started: Run | None = None) -> None:
        """Pass a captured call to its agent, and report content that was not read."""
        if started is not None and captured.content is not None:
            copy_to_agent(started)
        for where, error in captured.errors:
            self._diagnostics.trouble(where, error)

    def close(self) -> None:
        """End and count open runs; safe to call twice."""
        self._table.close()

    def trouble(self, where: str, error: Exception) -> None:
        """Report an error that was not handled elsewhere."""
        if self._diagnostics.strict:
            raise error
        self._diagnostics.trouble(where, error)


def _expected(request: Request, payload: object, more: object) -> Estimate | None:
    """Estimate the input of a call, if an account is in use."""
    if accounts_in_use() and request.operation in semconv.BILLED_OPERATIONS:
        return prompt_estimate(payload, more)
    return None


def _placed(
    parent_id: UUID | None, request: Request
) -> tuple[UUID | None, Request, Configured | None, Exception | None]:
    """Return the parent of a run, and its request with the ids of its config.

    Ids in the metadata take precedence.
    """
    ids: Configured | None = None
    try:
        if parent_id is None:
            parent_id = enclosing_run_id()
        ids = configured()
        if ids is not None:
            request = request._replace(attributes=ids.added_to(request.attributes))
    except Exception as error:  # noqa: BLE001 -- the span matters more
        return parent_id, request, None, error
    return parent_id, request, ids, None


def _name(run: Run, ids: Configured) -> None:
    """Set the ids of a run from the config of a run below it."""
    if run.key != run_key(ids.outer_id):
        return
    known = run.request.attributes
    own = {name: known[name] for name in semconv.IDS if name in known}
    run.named = {**ids.outer, **run.named, **own}


def _with_seen(response: Response | None, payload: Any) -> Response | None:
    """Add an estimate of the output if usage is missing, for the accounts."""
    if response is None or not response.usage_expected:
        return response
    if response.usage is not None and response.usage.output_tokens is not None:
        return response
    return response._replace(seen_tokens=output_tokens(payload))


def _read(
    reader: Callable[[Any], _T] | None, payload: Any
) -> tuple[_T | None, Exception | None]:
    """Read a payload, or return the error."""
    if reader is None:
        return None, None
    try:
        return reader(payload), None
    except Exception as error:  # noqa: BLE001 -- the run must end all the same
        if reader is not model_response:
            return None, error
        # Read the tokens without the values that may have raised.
        return _read(_simpler, payload)[0], error  # type: ignore[return-value]


def _simpler(payload: Any) -> Response:
    """Read a model's response in simpler parts after an error."""
    return model_response(plain(payload))
