"""Kinds of arguments that several commands take."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import click

from busclient._messages.message import REF

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Place(NamedTuple):
    """A file in a target."""

    target: str
    path: str


class _MessageRef(click.ParamType):  # type: ignore[type-arg]
    """The id or seq of a message, as it is written."""

    name = "id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not REF.fullmatch(str(value)):
            self.fail(
                f"{value!r} is not the id of a message: give its id (26 letters and digits) or its"
                " seq.",
                param,
                ctx,
            )
        return str(value)


class _Duration(click.ParamType):  # type: ignore[type-arg]  # click 8.2 cannot subscript it
    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", str(value))
        if found is None:
            self.fail(f"{value!r} is no time: 90, 90s, 15m, 2h or 7d.", param, ctx)
        return float(found[1]) * _UNITS[found[2]]


class _Hours(_Duration):
    """A time in hours; a bare number is hours already."""

    name = "hours"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        text = str(value)
        hours = (
            super().convert(text if text[-1:] in ("s", "m", "h", "d") else f"{text}h", param, ctx)
            / 3600
        )
        if not 0.01 <= hours <= 8784:
            self.fail(f"{value!r} is not from 1m to 366d.", param, ctx)
        return hours


class _Place(click.ParamType):  # type: ignore[type-arg]
    name = "place"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Place:
        if isinstance(value, Place):
            return value
        target, colon, path = str(value).partition(":")
        if not (target and colon and path.startswith("/")):
            self.fail(
                f"{value!r} is not TARGET:PATH with an absolute path, for example"
                " db1:/etc/hostname.",
                param,
                ctx,
            )
        return Place(target, path)


MESSAGE = _MessageRef()
DURATION = _Duration()
HOURS = _Hours()
PLACE = _Place()

wait_approval = click.option(
    "--wait-approval",
    "wait_for_approval_s",
    type=DURATION,
    default="0",
    metavar="TIME",
    help="Wait this long for an admin's yes.",
)
key = click.option("--key", help="Idempotency key: the same call under the same key runs once.")
