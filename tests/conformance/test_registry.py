"""The data files are read as they are meant."""

from __future__ import annotations

from measure.attribute_rules import schema_errors
from measure.registry import FOLDER, registry


def test_every_span_type_metric_and_event_of_the_files_is_known() -> None:
    """Refinements refine metrics, and add no span type."""
    names = {one.name for one in registry().spans}
    assert "gen_ai.inference.client" in names
    assert not [name for name in names if name.startswith("openai.")]
    refined = registry().metrics["openai.client.token.usage"]
    assert refined.unit == "{token}"
    assert {"gen_ai.token.type", "openai.response.service_tier"} <= set(
        refined.attributes
    )
    inference = registry().span_type("chat", "client")
    assert inference is not None
    event = registry().events["gen_ai.client.inference.operation.details"]
    assert event == inference.attributes


def test_attributes_of_the_general_conventions_are_known_where_they_are_used() -> None:
    """What a span, metric or event declares is known, what none declares is not."""
    for name in ("server.address", "error.type", "exception.type"):
        assert registry().type_of(name)
    for name in ("service.version", "user.id", "gen_ai.system", "session.id"):
        assert registry().type_of(name) is None


def test_expectations_name_what_a_span_type_declares() -> None:
    """No expectation is misread: each names declared operations and attributes."""
    assert len(registry().expected) == 9
    for expected in registry().expected:
        for operation in expected.operations:
            declared = registry().span_type(operation, expected.kind)
            assert declared is not None
            assert set(expected.attributes) <= set(declared.attributes)


def test_an_operation_without_a_span_type_has_none() -> None:
    """Whoever asks for an unknown operation is told so."""
    assert registry().span_type("sing", "client") is None


def test_every_file_names_its_source() -> None:
    """Facts of others carry their source and licence."""
    files = [*FOLDER.glob("*.yaml"), *FOLDER.glob("schemas/*.json")]
    assert len(files) >= 12
    for path in files:
        head = path.read_text(encoding="utf-8")[:1000]
        assert "Apache-2.0" in head or path.name == "later.yaml", path


def test_every_schema_is_used_as_one() -> None:
    """Each schema refuses what is no list."""
    for name, schema in registry().schemas.items():
        assert schema_errors(schema, 1), name
