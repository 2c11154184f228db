"""The client's arrows point down only: cli -> what joins -> the Bus -> {outbox | net | …} ->
messages -> http -> settings.

Siblings do not see each other, and there is no circle.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.test_layers import imports, modules

# From the bottom up. A room is a module, or a package with all that is in it.
PURE = ("_codes", "_envelopes", "_errors", "_harmless", "_hidden", "_version")
ON_DISK = ("_files", "_older_fleet", "_places", "_processes", "_repository")
PARTS = ("_handoffs", "_hub_control", "_net", "_outbox")
ABOVE_THE_BUS = (
    "_claude",
    "_claudemail",
    "_doctor",
    "_drafts",
    "_drain",
    "_guard",
    "_joining",
    "_mirror",
    "_relay",
    "_share",
)
JOINTS = ("", "__main__", "_cli")  # "" is busclient/__init__.py, the public door
LAYERS = (
    PURE,
    ON_DISK,
    ("_settings",),
    ("_http",),
    ("_messages",),
    PARTS,
    ("_connection",),
    ("_agents", "_reading"),
    ("_filing", "_nouns"),
    ("_bus",),
    ABOVE_THE_BUS,
    JOINTS,
)
# Besides going down: what is pure may use what is pure, and so on.
OPEN = (PURE, ON_DISK, JOINTS)

ONLY_IN = {
    "certifi": ("_http",),
    "click": ("_cli",),
    "dotenv": ("_settings",),
    "filelock": ("_claude", "_drain", "_hub_control", "_mirror", "_outbox"),
    "requests": ("_http",),
    "urllib3": ("_http",),
}
FOR_TYPING = {("_bus", "requests")}  # Bus says what it takes as its transport
MOST_LINES = 400

CLIENT = modules("busclient")


def room(module: str) -> str:
    """The room of a module: busclient._http.calls is in `_http`."""
    return module.split(".")[1] if "." in module else ""


def layer(module: str) -> int:
    for height, rooms in enumerate(LAYERS):
        if room(module) in rooms:
            return height
    raise AssertionError(f"{module} has no place in LAYERS: decide which layer it belongs to")


def arrows() -> Iterator[tuple[str, str]]:
    """Every import of one module of the client by another, also where it is only for typing."""
    for module, path in CLIENT.items():
        for target in imports(path, CLIENT):
            if target == "busclient" or target.startswith("busclient."):
                yield module, target


def is_allowed(module: str, target: str) -> bool:
    if room(module) == room(target) and module != "busclient":
        return True
    if layer(module) == layer(target):
        return any(room(module) in rooms and room(target) in rooms for rooms in OPEN)
    return layer(module) > layer(target)


def test_every_module_has_a_layer() -> None:
    assert {layer(module) for module in CLIENT} == set(range(len(LAYERS)))
    rooms = [room for rooms in LAYERS for room in rooms]
    assert sorted(rooms) == sorted({room(module) for module in CLIENT})


def test_arrows_point_down_only() -> None:
    wrong = [
        f"{module} -> {target}" for module, target in arrows() if not is_allowed(module, target)
    ]
    assert wrong == []


def test_there_is_no_circle() -> None:
    below: dict[str, set[str]] = {module: set() for module in CLIENT}
    for module, target in arrows():
        if target not in (module, "busclient"):
            below[module].add(target)
    while free := [module for module, targets in below.items() if not targets]:
        for module in free:
            del below[module]
        for targets in below.values():
            targets -= set(free)
    assert set(below) == set()


@pytest.mark.parametrize(
    ("module", "target", "allowed"),
    [
        ("busclient._bus", "busclient._outbox.outbox", True),
        ("busclient._http.calls", "busclient._http.transport", True),
        ("busclient._hub_control", "busclient._http.calls", True),
        ("busclient._cli.output", "busclient._bus", True),
        ("busclient", "busclient._bus", True),
        ("busclient._hub_control", "busclient._bus", False),
        ("busclient._hub_control", "busclient._joining", False),
        ("busclient._doctor", "busclient._joining", False),
        ("busclient._settings", "busclient._handoffs.cloning", False),
        ("busclient._messages.stream", "busclient._bus", False),
        ("busclient._outbox.delivery", "busclient._net.net", False),
        ("busclient._http.calls", "busclient._messages.message", False),
        ("busclient._bus", "busclient._cli.output", False),
        ("busclient._net.net", "busclient", False),
    ],
)
def test_the_rule_tells_good_arrows_from_bad(module: str, target: str, allowed: bool) -> None:
    assert is_allowed(module, target) is allowed


@pytest.mark.parametrize("foreign", ONLY_IN)
def test_a_library_stays_in_its_room(foreign: str) -> None:
    users = {
        room(module)
        for module, path in CLIENT.items()
        for target in imports(path, CLIENT)
        if target.split(".")[0] == foreign and (room(module), foreign) not in FOR_TYPING
    }
    assert users == set(ONLY_IN[foreign])


def test_no_module_holds_two_subjects() -> None:
    assert [
        str(path) for path in CLIENT.values() if len(path.read_text().splitlines()) > MOST_LINES
    ] == []


def test_a_folder_says_what_lives_there_and_what_may_not() -> None:
    for path in CLIENT.values():
        if path.name == "__init__.py":
            said = ast.get_docstring(ast.parse(path.read_text())) or ""
            assert len(said.splitlines()) >= 3, path
