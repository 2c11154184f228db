"""What the OpenAPI document says of the check-up."""

from __future__ import annotations

from bus.model.answer import reference
from bus.model.checkup import Checkup, CheckupQuery
from bus.model.shape import Json
from bus.web.openapi.parts import get


def paths() -> Json:
    """Return the description of the path."""
    params = CheckupQuery.parameters()
    found = get("What is stuck, the worst first", reference(Checkup), text=True, params=params)
    return {"/checkup": {"get": found}}
