"""Arrows point down only: app -> joints -> web -> core -> {log | index | ...} -> what is pure. Siblings do not see each other."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

# From the bottom up. A room is a module, or a package with all that is in it.
PURE = (
    "calls",
    "config",
    "drafts",
    "envfile",
    "errors",
    "hidden",
    "identity",
    "modes",
    "oldlines",
    "packing",
    "passing",
    "records",
    "rights",
    "selection",
    "shown",
    "sockets",
    "strictjson",
    "turns",
)
ROOMS = ("containers", "credentials", "index", "log", "presence", "results", "seats", "waiting", "wire")
JOINTS = ("", "__main__", "commands", "connections", "server", "setup")  # "" is bus/__init__.py, which joins the parts
_HELD, _USERS = ("daily", "journal", "quotas", "standings"), ("execd", "imports", "web")
LAYERS = (PURE, ("bell",), ROOMS, _HELD, ("approvals",), ("core", "net"), _USERS, JOINTS)
# Besides going down: what is pure may use what is pure, and a joint another joint.
OPEN = (PURE, JOINTS)

ONLY_IN = {
    "flask": ("web",),
    "werkzeug": ("web",),
    "gunicorn": ("server",),
    "gevent": ("connections", "server"),
    "click": ("commands",),
    "requests": (),
}
FOR_TYPING = {("", "flask")}  # create_app says what it gives


def modules(package: str) -> dict[str, Path]:
    """The modules of a package by their dotted name."""
    found = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path, known: dict[str, Path]) -> Iterator[str]:
    """The dotted names that a file imports, at its top or anywhere in it; `from bus import core` is bus.core."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides where it points"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in known else str(node.module)


BUS = modules("bus")


def room(module: str) -> str:
    """The room of a module of the hub: bus.log.jsonl is in `log`."""
    return module.split(".")[1] if "." in module else ""


def layer(module: str) -> int:
    for height, rooms in enumerate(LAYERS):
        if room(module) in rooms:
            return height
    raise AssertionError(f"{module} has no place in LAYERS: decide which layer it belongs to")


def arrows() -> Iterator[tuple[str, str]]:
    """Every import of one module of the hub by another."""
    for module, path in BUS.items():
        for target in imports(path, BUS):
            if target == "bus" or target.startswith("bus."):
                yield module, target


def is_allowed(module: str, target: str) -> bool:
    if room(module) == room(target) and module != "bus":
        return True
    if layer(module) == layer(target):
        return any(room(module) in rooms and room(target) in rooms for rooms in OPEN)
    return layer(module) > layer(target)


def test_every_module_has_a_layer() -> None:
    assert {layer(module) for module in BUS} == set(range(len(LAYERS)))


def test_arrows_point_down_only() -> None:
    wrong = [f"{module} -> {target}" for module, target in arrows() if target != "bus" and not is_allowed(module, target)]
    assert wrong == []


def test_nothing_below_the_joints_imports_the_package_itself() -> None:
    names = {module for module, target in arrows() if target == "bus" and layer(module) < layer("bus")}
    # `from bus import __version__` is a fact, not a part; the pages of the hub tell it.
    assert names <= {"bus.web.pages", "bus.web.openapi"}


@pytest.mark.parametrize(
    ("module", "target", "allowed"),
    [
        ("bus.core", "bus.log.base", True),
        ("bus.web.reading", "bus.core", True),
        ("bus.log.jsonl", "bus.log.files", True),
        ("bus.drafts", "bus.strictjson", True),
        ("bus.commands", "bus.setup", True),
        ("bus", "bus.web", True),
        ("bus.index.database", "bus.log.base", False),
        ("bus.log.jsonl", "bus.index.database", False),
        ("bus.log.jsonl", "bus.waiting", False),
        ("bus.log.jsonl", "bus.presence", False),
        ("bus.waiting", "bus.log.base", False),
        ("bus.core", "bus.web.replies", False),
        ("bus.records", "bus.core", False),
        ("bus.web.pages", "bus.server", False),
        ("bus.execd.work", "bus.net", True),
        ("bus.net", "bus.core", False),
        ("bus.web.calls", "bus.containers.base", True),
        ("bus.web.calls", "bus.execd.work", False),
        ("bus.containers.lxc", "bus.credentials", False),
    ],
)
def test_the_rule_tells_good_arrows_from_bad(module: str, target: str, allowed: bool) -> None:
    assert is_allowed(module, target) is allowed


def test_there_is_no_circle() -> None:
    below: dict[str, set[str]] = {module: set() for module in BUS}
    for module, target in arrows():
        if "bus" not in (module, target) and target != module:
            below[module].add(target)
    while free := [module for module, targets in below.items() if not targets]:
        for module in free:
            del below[module]
        for targets in below.values():
            targets -= set(free)
    # bus.web/__init__ joins its own blueprints, which import their siblings by way of it.
    assert {module for module in below if not module.startswith("bus.web")} == set()


@pytest.mark.parametrize("foreign", ONLY_IN)
def test_a_library_stays_in_its_room(foreign: str) -> None:
    users = {
        room(module)
        for module, path in BUS.items()
        for target in imports(path, BUS)
        if target.split(".")[0] == foreign and (room(module), foreign) not in FOR_TYPING
    }
    assert users <= set(ONLY_IN[foreign])


def test_the_hub_gets_flask_for_typing_only_where_it_joins_the_parts() -> None:
    for block in ast.parse(BUS["bus"].read_text()).body:
        names = [name for node in ast.walk(block) if isinstance(node, ast.ImportFrom) for name in [str(node.module)]]
        if any(name.split(".")[0] in ("flask", "werkzeug") for name in names):
            assert isinstance(block, ast.If)
            assert ast.unparse(block.test) == "TYPE_CHECKING"


def test_the_door_knows_nobody_but_the_joints() -> None:
    targets = {target for target in imports(ROOT / "app.py", BUS) if target.startswith("bus")}
    assert targets <= {"bus", "bus.server"}
    assert "bus" in targets


def test_hub_and_client_never_import_each_other() -> None:
    client = modules("busclient")
    assert not [path for path in BUS.values() for target in imports(path, client) if target.split(".")[0] == "busclient"]
    assert not [path for path in client.values() for target in imports(path, BUS) if target.split(".")[0] == "bus"]
