"""What a retriever gave back."""

from __future__ import annotations

from typing import Any

from otel_callbacks import _semconv as semconv
from otel_callbacks._records import Response


def retriever_response(documents: Any) -> Response:
    """Read what a retriever gave back: how many documents, not what is in them.

    Args:
        documents: A sequence of documents.

    Returns:
        A response without usage, as none is to be expected.
    """
    if not isinstance(documents, list | tuple):
        return Response(usage_expected=False)
    return Response(
        usage_expected=False,
        attributes={semconv.DOCUMENT_COUNT: len(documents)},
    )
