"""What the package promises as a whole."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest

import busclient
from bus import version
from bus.errors import BadRequest, family
from bus.web.http import replies
from busclient import _cli, _codes, _errors, _harmless
from busclient._cli import exits
from tests.conftest import ROOT

PACKAGE = ROOT / "busclient"
MODULES = sorted(PACKAGE.rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def imports_of(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return {name.partition(".")[0] for name in found}


def test_public_names_are_sorted_and_all_there() -> None:
    assert list(busclient.__all__) == sorted(
        busclient.__all__, key=lambda name: (not name.isupper(), not name[0].isupper(), name)
    )
    assert {name for names in busclient._LATER.values() for name in names.split()} | {
        "__version__"
    } == set(busclient.__all__)
    assert {name for name in dir(busclient) if not name.startswith("__")} | {"__version__"} == set(
        busclient.__all__
    )
    for name in busclient.__all__:
        assert getattr(busclient, name) is not None, name


def test_type_checkers_see_each_public_name_where_it_is_loaded_from() -> None:
    (for_typing,) = [
        node
        for node in ast.parse((PACKAGE / "__init__.py").read_text()).body
        if isinstance(node, ast.If)
    ]
    seen = {
        str(node.module).removeprefix("busclient."): {alias.name for alias in node.names}
        for node in for_typing.body
        if isinstance(node, ast.ImportFrom)
    }
    assert seen == {module: set(names.split()) for module, names in busclient._LATER.items()}


def test_the_client_imports_nothing_of_the_hub_and_only_its_own_dependencies() -> None:
    third_party = {"requests", "urllib3", "certifi", "dotenv", "filelock", "click"}
    for path in MODULES:
        foreign = imports_of(path) - set(sys.stdlib_module_names) - third_party - {"busclient"}
        assert not foreign, path
        assert "fcntl" not in imports_of(path), path
        assert "/tmp" not in path.read_text(), path


def test_modules_are_private() -> None:
    assert [path.name for path in PACKAGE.glob("*.py") if not path.name.startswith("_")] == []


def test_every_code_of_the_hub_has_an_error_and_no_other() -> None:
    assert set(busclient.CODES) == {kind.code for kind in family()}


def test_no_hint_that_users_of_the_command_see_names_a_route() -> None:
    """Each is replaced, or left out; so is one that the hub makes for a single case, or that a
    newer hub has.
    """
    for kind in family():
        shown = _codes.error_from(kind.status, kind("x").as_dict()).hint
        assert not re.search(r"(GET|POST|PUT|DELETE) /|(^|\s)/\w|curl", shown), (kind.code, shown)
        assert shown or kind.hint == BadRequest.hint, kind.code
    lists = {
        "unknown_target": "bus machines",
        "no_such_snapshot": "bus container snapshots",
        "hub_stopping": "bus call",
    }
    for code, command in lists.items():
        assert f"`{command}" in _codes.error_from(404, {"error": code, "hint": "GET /api/x"}).hint
    for route in (
        "GET /api/new lists them.",
        "For example /search?q=x",
        "See /docs.",
        "Send it with curl -d.",
    ):
        assert _codes.error_from(400, {"error": "missing_field", "hint": route}).hint == ""
    kept = "One of exec, file_read."
    assert _codes.error_from(400, {"error": "bad_field", "hint": kept}).hint == kept


def test_the_tree_in_the_docstring_is_the_real_one() -> None:
    drawn = re.findall(r"^ +[│ ]*(?:[├└]── )?([A-Z]\w+)", _errors.__doc__ or "", re.MULTILINE)
    real = [
        name
        for name, kind in vars(_errors).items()
        if isinstance(kind, type) and issubclass(kind, _errors.BusError)
    ]
    assert sorted(drawn) == sorted(real)
    assert set(real) <= set(busclient.__all__)


def test_both_sides_find_the_same_characters_harmful() -> None:
    everything = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x110000)]))
    assert busclient.harmless(everything) == replies.harmless(everything)
    assert _harmless.harmless("a\ud800b") == "a\ufffdb"


def test_the_version_and_the_dependencies_are_said_once() -> None:
    versions = {PROJECT["project"]["version"], busclient.__version__, version.__version__}
    assert len(versions) == 1
    needed = {
        line.strip()
        for line in (ROOT / "requirements.txt").read_text().splitlines()
        if line and line[0] not in "#-"
    }
    assert needed == {
        *PROJECT["project"]["dependencies"],
        *PROJECT["project"]["optional-dependencies"]["hub"],
    }


def test_what_is_no_code_is_in_the_wheel() -> None:
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["busclient"]
    shipped = {path for pattern in patterns for path in PACKAGE.glob(pattern)}
    other = {
        path for path in PACKAGE.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    assert other == shipped
    assert PACKAGE / "_claude" / "SKILL.md" in shipped


def test_it_is_typed() -> None:
    assert (PACKAGE / "py.typed").exists()


def test_the_exit_codes_are_in_the_help_and_in_the_manual() -> None:
    manual = (ROOT / "docs" / "client.md").read_text()
    help = _cli.cli.get_help(click.Context(_cli.cli))
    for code, meaning in exits.MEANINGS.items():
        assert f"{code}  {meaning}" in help
        assert f"| {code} | {meaning} |" in manual


def test_every_command_and_option_is_in_the_manual() -> None:
    manual = (ROOT / "docs" / "client.md").read_text()
    context = click.Context(_cli.cli)
    for name in _cli.COMMANDS:
        found = _cli.cli.get_command(context, name)
        assert found is not None
        assert found.name == name
        assert f"`bus {name}" in manual, name
        for parameter in found.params:
            for option in parameter.opts:
                if option.startswith("--") and option != "--json":
                    assert option in manual, (name, option)


def test_what_only_other_machines_need_is_loaded_when_it_is_used() -> None:
    script = (
        "import sys, busclient; sys.exit('busclient._net.forms' in sys.modules or"
        " busclient.Net.__name__ != 'Net')"
    )
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False).returncode == 0


def test_help_loads_no_network_code() -> None:
    script = (
        "import sys, busclient._cli; busclient._cli.run(['--help']); sys.exit('requests' in"
        " sys.modules)"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, capture_output=True, check=False
        ).returncode
        == 0
    )


def test_the_version_is_told_without_loading_anything() -> None:
    script = "import sys; sys.argv = ['bus', '--version']; import busclient.__main__ as m; m.main()"
    script += "; print({'click'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert done.stdout == f"bus, version {busclient.__version__}\nset()\n"
    spoken = subprocess.run(
        [sys.executable, "-m", "busclient", "--json", "--version"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    assert spoken.returncode == exits.USAGE  # only the whole line is answered so
    with open("/dev/full", "w") as full:
        lost = subprocess.run(
            [sys.executable, "-m", "busclient", "--version"], cwd=ROOT, stdout=full, check=False
        )
    assert lost.returncode == exits.LOCAL


@pytest.mark.slow
def test_a_command_loads_no_requests_and_no_form_that_it_does_not_need() -> None:
    unwanted = (
        "{'requests', 'urllib3', 'filelock', 'dotenv', 'busclient._net.fleet_forms'} &"
        " set(sys.modules)"
    )
    for line in ("['inbox']", "['exec', 'db1', '--', 'true']"):
        script = f"import sys, busclient._cli as c; code = c.run({line}); print(code, {unwanted})"
        environ = {
            "PATH": "/usr/bin:/bin",
            "HOME": "/nonexistent",
            "BUS_URL": "http://127.0.0.1:1",
            "BUS_PASS": "x",
        }
        done = subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
            env=environ,
            timeout=60,
        )
        assert done.stdout.split()[1:] == ["set()"], done
