"""Shapes of requests: a struct of typed fields, from which the check and the OpenAPI schema come.
No I/O.

    @dataclass(frozen=True, kw_only=True)
    class Grant(Shape):
        sender: Annotated[str | None, AGENT, "the caller, where it is left out"] = None
        target: Annotated[str, TARGET]

`Grant.read(fields)` checks, `Grant.schema()` describes. Rules about several fields are its
`__post_init__`, which raises BadField or MissingField. Why there is no library:
docs/decisions/0006-shapes-of-requests.md
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass
from typing import Any, NamedTuple, Self, TypeVar, get_type_hints

from bus.errors import BadField, MissingField
from bus.model.checks import check_fields

Json = dict[str, Any]
_SENT_AS = {"sender": "from"}  # a word of Python's own


@dataclass(frozen=True)
class Kind:
    """What a field may hold: `check(value, field)` returns it clean or raises a BadRequest or
    TooLarge; `schema` is OpenAPI's.

    A required field that is not there is checked as None; or, with `missing`, refused with that
    hint.
    """

    check: Callable[[Any, str], Any]
    schema: Json
    missing: str = ""

    def saying(self, **schema: Any) -> Kind:
        """Return the same kind, of which OpenAPI says this too."""
        return dataclasses.replace(self, schema={**self.schema, **schema})


class Field(NamedTuple):
    """One field of a shape: its attribute, what it may hold, and what it is when it is left out, or
    what makes that.
    """

    attribute: str
    check: Callable[[Any, str], Any]
    is_required: bool
    default: Any
    made: Callable[[], Any] | None
    kind: Kind
    description: str

    def property(self) -> Json:
        """Return what OpenAPI says of it."""
        more: Json = {"description": self.description} if self.description else {}
        if self.default is not None:
            more["default"] = self.default
        return {**self.kind.schema, **more}

    def parameter(self, name: str) -> Json:
        """Return the same for a parameter of a query."""
        told = {"schema": self._replace(description="").property()}
        described = {"description": self.description} if self.description else {}
        required = {"required": True} if self.is_required else {}
        return {"name": name, "in": "query", **told, **described, **required}


class Shape:
    """What every struct of a request is. A field that is left out is its default, mostly None."""

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the names of the fields as they are sent, in the order in which they are told and
        checked.
        """
        return tuple(fields(cls))

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Self:
        """Return the struct in these fields; raises UnknownField, MissingField, BadField,
        TooLarge.
        """
        table = _known.get(cls) or fields(cls)
        if not given.keys() <= table.keys():
            check_fields(given, table)
        made = object.__new__(cls)
        # A frozen dataclass's own __init__ takes a microsecond and a half, a quarter of what
        # checking a post takes.
        values = made.__dict__
        for name, field in table.items():
            if name in given:
                values[field.attribute] = field.check(given[name], name)
            elif field.is_required:
                _refuse_missing(name, field.kind)
            elif field.made is not None:
                values[field.attribute] = field.made()
            elif field.default is not None:  # None is what the class has already
                values[field.attribute] = field.default
        made.__post_init__()
        return made

    def __post_init__(self) -> None:
        """Refuse fields that do not go together."""

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as they are sent, without those that were left out."""
        said = self.__dict__.items()
        return {_SENT_AS.get(name, name): value for name, value in said if value is not None}

    @classmethod
    def schema(cls) -> Json:
        """Return what OpenAPI says of an object of these fields."""
        return object_schema(cls)

    @classmethod
    def parameters(cls) -> list[Json]:
        """Return what OpenAPI says of these fields as parameters of a query."""
        return [field.parameter(name) for name, field in fields(cls).items()]


S = TypeVar("S", bound=Shape)


def object_schema(
    shape: type[Shape], leave_out: Iterable[str] = (), require: Iterable[str] = (), **other: Json
) -> Json:
    """Return the schema of an object of a shape's fields: some left out, some required here, some
    with `other` schemas.
    """
    told = {name: field for name, field in fields(shape).items() if name not in leave_out}
    return {
        "type": "object",
        "properties": {name: other.get(name, field.property()) for name, field in told.items()},
        "required": [*(name for name, field in told.items() if field.is_required), *require],
        "additionalProperties": False,
    }


def fields(shape: type[Shape]) -> dict[str, Field]:
    """Return the fields of a shape by the name under which they are sent."""
    if shape not in _known:
        hints = get_type_hints(shape, include_extras=True)
        _known[shape] = {
            _SENT_AS.get(field.name, field.name): _field(field, hints[field.name].__metadata__)
            for field in dataclasses.fields(shape)  # type: ignore[arg-type]
        }
    return _known[shape]


_known: dict[type[Shape], dict[str, Field]] = {}


def _field(field: dataclasses.Field[Any], annotated: tuple[Any, ...]) -> Field:
    kind, *description = annotated
    return Field(
        field.name,
        kind.check,
        field.default is MISSING and field.default_factory is MISSING,
        None if field.default is MISSING else field.default,
        None if field.default_factory is MISSING else field.default_factory,
        kind,
        " ".join(description),
    )


def refuse_null(given: Mapping[str, Any], names: Iterable[str]) -> None:
    """Refuse null in these fields, where it is neither a value nor the same as leaving the field
    out.
    """
    for name in names:
        if name in given and given[name] is None:
            raise BadField(
                f"`{name}` is null.", hint="Give a value, or leave the field out.", field=name
            )


def _refuse_missing(name: str, kind: Kind) -> None:
    if kind.missing:
        raise MissingField(f"`{name}` is missing.", hint=kind.missing, field=name)
    kind.check(None, name)
