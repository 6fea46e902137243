"""A run that resumes a thread is linked to the run before it."""

from __future__ import annotations

from opentelemetry.sdk.trace import TracerProvider

from otel_callbacks._records import Request
from otel_callbacks._spans.resumes import MOST_THREADS, Threads

TRACER = TracerProvider().get_tracer("test")


def of(thread: str, *, resumes: bool = False, graph: str = "shop") -> Request:
    """Return the request of a graph's run."""
    return Request("invoke_workflow", graph, thread=thread, resumes=resumes)


def test_the_last_run_of_the_thread_is_linked() -> None:
    """Only for a run that resumes, of the same graph, on the same thread."""
    threads = Threads()
    first, last = TRACER.start_span("first"), TRACER.start_span("last")
    threads.remember(of("t"), first)
    threads.remember(of("t"), last)
    (link,) = threads.links(of("t", resumes=True))
    assert link.context == last.get_span_context()
    assert threads.links(of("t")) == ()
    assert threads.links(of("u", resumes=True)) == ()
    assert threads.links(of("t", resumes=True, graph="other")) == ()


def test_memory_is_bounded() -> None:
    """The thread that was not used for the longest time is forgotten."""
    threads = Threads()
    span = TRACER.start_span("x")
    for number in range(MOST_THREADS):
        threads.remember(of(str(number)), span)
    threads.remember(of("0"), span)
    threads.remember(of("new"), span)
    assert threads.links(of("0", resumes=True))
    assert threads.links(of("1", resumes=True)) == ()
