"""What a retriever gave back."""

from __future__ import annotations

import pytest
from langchain_core.documents import Document

from otel_callbacks._readers.steps import retriever_response
from otel_callbacks._records import Response


@pytest.mark.parametrize("number", [0, 3])
def test_documents_are_counted(number: int) -> None:
    """How many, and nothing of what is in them."""
    found = retriever_response([Document("roses need water")] * number)
    assert found == Response(
        usage_expected=False, attributes={"otel_callbacks.document_count": number}
    )


@pytest.mark.parametrize("documents", [None, "roses", 3, {"a": 1}])
def test_anything_else_is_no_number(documents: object) -> None:
    """A retriever never misses a usage."""
    assert retriever_response(documents) == Response(usage_expected=False)
