"""Arrows point down only, siblings do not see each other, and a library stays in its room."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

# From the bottom up. A room is a module at the top of `bus`, a folder, or what a folder's longer
# name here says.
LAYERS = (
    ("errors", "version"),
    ("model",),
    ("settings",),
    ("config",),
    ("system",),
    ("live", "log", "credentials", "notices", "index", "runner.protocol", "runner.drivers"),
    ("runner.client", "hub", "mcp"),
    ("notify", "runner", "web", "peers"),
    ("", "__main__", "server"),  # "" is bus/__init__.py, which joins the parts
)
# Besides going down: those who join the parts may use each other.
OPEN = ("", "__main__", "server")

ONLY_IN = {
    "flask": ("web",),
    "werkzeug": ("web",),
    "gunicorn": ("server",),
    "gevent": ("server",),
    "click": ("server",),
    "prometheus_client": ("live", "web"),
    "requests": ("notify",),
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
    """The dotted names that a file imports, at its top or anywhere in it; `from bus.hub import
    acks` is bus.hub.acks.
    """
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
    """The room of a module of the hub: bus.log.base is in `log`, bus.runner.drivers.lxc in
    `runner.drivers`.
    """
    parts = module.split(".")[1:]
    longer = ".".join(parts[:2])
    return longer if any(longer in rooms for rooms in LAYERS) else parts[0] if parts else ""


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
        return room(module) in OPEN and room(target) in OPEN
    return layer(module) > layer(target)


def test_every_module_has_a_layer() -> None:
    assert {layer(module) for module in BUS} == set(range(len(LAYERS)))


def test_arrows_point_down_only() -> None:
    wrong = [
        f"{module} -> {target}"
        for module, target in arrows()
        if target != "bus" and not is_allowed(module, target)
    ]
    assert wrong == []


def test_nothing_below_the_joints_imports_the_package_itself() -> None:
    names = {
        module for module, target in arrows() if target == "bus" and layer(module) < layer("bus")
    }
    assert names == set()


@pytest.mark.parametrize(
    ("module", "target", "allowed"),
    [
        ("bus.hub.messages", "bus.log.base", True),
        ("bus.web.api.messages", "bus.hub.messages", True),
        ("bus.log.jsonl.engine", "bus.log.jsonl.files", True),
        ("bus.model.messages", "bus.model.strict_json", True),
        ("bus.server.commands", "bus.server.first_start", True),
        ("bus", "bus.web", True),
        ("bus.index.database", "bus.log.base", False),
        ("bus.log.jsonl.engine", "bus.index.database", False),
        ("bus.log.jsonl.engine", "bus.live.waiting", False),
        ("bus.live.waiting", "bus.log.base", False),
        ("bus.hub.messages", "bus.web.http.replies", False),
        ("bus.model.records", "bus.hub.messages", False),
        ("bus.model.records", "bus.system.modes", False),
        ("bus.web.api.pages", "bus.server.gunicorn_config", False),
        ("bus.runner.service", "bus.hub.calls", True),
        ("bus.web.api.calls", "bus.runner.client", True),
        ("bus.web.api.calls", "bus.runner.service", False),
        ("bus.peers.desk", "bus.hub.hub", True),
        ("bus.notify.service", "bus.notices.queue", True),
        ("bus.web.api.notices", "bus.notices.desk", True),
        ("bus.web.api.notices", "bus.notify.service", False),
        ("bus.notices.queue", "bus.hub.hub", False),
        ("bus.peers.desk", "bus.web.http.replies", False),
        ("bus.web.api.mcp", "bus.mcp.server", True),
        ("bus.mcp.server", "bus.hub.hub", False),
        ("bus.hub.calls", "bus.runner.client", False),
        ("bus.runner.drivers.lxc", "bus.credentials", False),
        ("bus.runner.drivers.lxc", "bus.runner.service", False),
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
    assert set(below) == set()


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
        names = [
            name
            for node in ast.walk(block)
            if isinstance(node, ast.ImportFrom)
            for name in [str(node.module)]
        ]
        if any(name.split(".")[0] in ("flask", "werkzeug") for name in names):
            assert isinstance(block, ast.If)
            assert ast.unparse(block.test) == "TYPE_CHECKING"


def test_the_door_knows_nobody_but_the_joints() -> None:
    targets = {target for target in imports(ROOT / "app.py", BUS) if target.startswith("bus")}
    assert targets <= {"bus", "bus.server.turns"}
    assert "bus" in targets


def test_hub_and_client_never_import_each_other() -> None:
    client = modules("busclient")
    assert not [
        path
        for path in BUS.values()
        for target in imports(path, client)
        if target.split(".")[0] == "busclient"
    ]
    assert not [
        path
        for path in client.values()
        for target in imports(path, BUS)
        if target.split(".")[0] == "bus"
    ]


# What a rule about shapes needs of the standard library; none of it reads or changes anything
# outside. `os`: for urandom.
SHAPES_USE = {
    "__future__", "base64", "builtins", "bus", "collections", "contextlib", "dataclasses",
    "datetime", "difflib", "enum",
    "functools", "hashlib", "hmac", "ipaddress", "itertools", "json", "math", "orjson", "os", "re",
    "shlex", "string", "types", "typing", "unicodedata", "zlib", "yaml",
}  # fmt: skip


def test_the_signatures_of_hub_and_index_name_their_shapes() -> None:
    rooms = {module: path for module, path in BUS.items() if room(module) in ("hub", "index")}
    assert len(rooms) > 20
    assert not [module for module, path in rooms.items() if "dict[str, Any]" in path.read_text()]


def test_shapes_and_rules_do_no_io() -> None:
    pure = {module: path for module, path in BUS.items() if room(module) in ("model", "errors")}
    used = {target.split(".")[0] for path in pure.values() for target in imports(path, BUS)}
    assert len(pure) > 5
    assert used <= SHAPES_USE
    from_os = {target for path in pure.values() for target in imports_of("os", path)}
    assert from_os <= {"urandom"}


def imports_of(package: str, path: Path) -> Iterator[str]:
    """What a file takes out of a package; the package's own name where it takes the whole."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == package)
        elif isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] == package:
            yield from (alias.name for alias in node.names)


def calls_of(module: str) -> Iterator[tuple[str, str]]:
    """Every method call in a module: what it is called on, as text, and its name."""
    for node in ast.walk(ast.parse(BUS[module].read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield ast.unparse(node.func.value), node.func.attr


def test_only_the_journal_appends_and_wakes() -> None:
    for module in BUS:
        for owner, verb in calls_of(module):
            is_log = owner.split(".")[-1] in ("log", "_log")
            if (verb == "append" and is_log) or (verb == "ring" and "bell" not in owner):
                assert module == "bus.hub.journal", f"{module}: {owner}.{verb}(…)"
            if verb == "append" and owner.split(".")[-1] in ("journal", "_journal"):
                assert module.startswith("bus.hub."), f"{module} appends without a verb of the hub"


def test_tests_stand_where_what_they_test_stands() -> None:
    """A folder of tests has the name of the folder that it tests, or crosses the tree on
    purpose.
    """
    crossing = {"client", "edge", "faults", "data"}
    folders = {
        path.parent.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("test_*.py")
    }
    lost = [
        str(folder)
        for folder in folders
        if folder.parts and folder.parts[0] not in crossing and not (ROOT / "bus" / folder).is_dir()
    ]
    assert lost == []
    parts = [
        folder.parts[1]
        for folder in folders
        if folder.parts[:1] == ("client",) and folder.parts[1:]
    ]
    assert [part for part in parts if not (ROOT / "busclient" / f"_{part}").is_dir()] == []


MOST_LINES = 400


def test_no_module_holds_two_subjects() -> None:
    long = {module: len(path.read_text().splitlines()) for module, path in BUS.items()}
    assert [m for m, lines in long.items() if lines > MOST_LINES] == []


MOST_TEST_LINES = 700
# The table of attacks of docs/security.md is one suite.
LONGER_TESTS = {"tests/test_attacks.py": 800}


def test_no_module_of_tests_holds_two_subjects() -> None:
    long = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines())
        for path in (ROOT / "tests").rglob("*.py")
    }
    assert len(long) > 100
    assert [p for p, n in long.items() if n > LONGER_TESTS.get(p, MOST_TEST_LINES)] == []
