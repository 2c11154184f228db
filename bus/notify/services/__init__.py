"""The services that notices are sent to, one file each; its name is the `type` in the settings.

A file here has a function `make(table, tools)` that reads its keys and returns a `Service` (see
`base.py`). Nothing else has to know it: remove the file, and the service is gone.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from bus.notify.services.base import Service, Tools
from bus.notify.table import Table

_NOT_SERVICES = ("base",)


def types() -> list[str]:
    """Return the types of services that there are."""
    found = (module.name for module in iter_modules(__path__) if not module.name.startswith("_"))
    return sorted(name for name in found if name not in _NOT_SERVICES)


def made(table: Table, tools: Tools) -> Service:
    """Return the service that a table of the settings describes; raises BadSetting."""
    kind = table.text("type")
    if kind not in types():
        raise table.bad("type", f"is {kind[:40]!r}: known are {', '.join(types())}")
    service: Service = import_module(f"{__name__}.{kind}").make(table, tools)
    table.done()
    return service
