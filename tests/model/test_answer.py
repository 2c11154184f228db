"""The schema of an answer says what its type says."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired, TypedDict

from bus.model.answer import Count, From, Says, reference, schema


class Inner(TypedDict):
    size: int


class Outer(From):
    ok: Literal[True]
    state: Literal["new", "old"]
    count: Annotated[Count, "how many"]
    share: NotRequired[float | None]
    names: list[Annotated[str, Says(maxLength=8)]]
    inner: dict[str, Inner]
    rest: Any


def test_a_field_is_described_by_its_type() -> None:
    assert schema(Outer)["properties"] == {
        "from": {"type": "string"},
        "ok": {"const": True},
        "state": {"enum": ["new", "old"]},
        "count": {"type": "integer", "minimum": 0, "description": "how many"},
        "share": {"oneOf": [{"type": "number"}, {"type": "null"}]},
        "names": {"type": "array", "items": {"type": "string", "maxLength": 8}},
        "inner": {"type": "object", "additionalProperties": reference(Inner)},
        "rest": {},
    }


def test_a_field_is_required_unless_it_says_otherwise() -> None:
    assert set(schema(Outer)["required"]) == set(schema(Outer)["properties"]) - {"share"}
