"""A span that answers as another one: the API's methods, all passed on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry import trace

if TYPE_CHECKING:
    from collections.abc import Mapping


class Delegate(trace.Span):
    """A span that answers as another one, found anew each time it is asked."""

    __slots__ = ()

    def resolve(self) -> trace.Span:
        """Return the span to answer as."""
        raise NotImplementedError

    def get_span_context(self) -> trace.SpanContext:
        """Return the other span's context."""
        return self.resolve().get_span_context()

    def is_recording(self) -> bool:
        """Say whether the other span records."""
        return self.resolve().is_recording()

    def set_attribute(self, key: str, value: Any) -> None:
        """Set an attribute on the other span."""
        self.resolve().set_attribute(key, value)

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Set attributes on the other span."""
        self.resolve().set_attributes(attributes)

    def add_event(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Add an event to the other span."""
        self.resolve().add_event(name, *args, **kwargs)

    def add_link(self, *args: Any, **kwargs: Any) -> None:
        """Add a link to the other span."""
        self.resolve().add_link(*args, **kwargs)

    def update_name(self, name: str) -> None:
        """Rename the other span."""
        self.resolve().update_name(name)

    def set_status(self, *args: Any, **kwargs: Any) -> None:
        """Set the other span's status."""
        self.resolve().set_status(*args, **kwargs)

    def record_exception(self, *args: Any, **kwargs: Any) -> None:
        """Record an exception on the other span."""
        self.resolve().record_exception(*args, **kwargs)

    def end(self, end_time: int | None = None) -> None:
        """Do nothing: the span's owner ends it."""

    def __getattr__(self, name: str) -> Any:
        # The SDK's spans have more than the API's: name, attributes, parent.
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.resolve(), name)
