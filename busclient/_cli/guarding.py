"""bus guard: a git hook that keeps a commit from changing what others work on."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from busclient._cli.output import json_option, out

if TYPE_CHECKING:
    from busclient._guard.hook_file import State


@click.command()
@click.argument("action", type=click.Choice(["install", "uninstall", "status", "check"]))
@json_option
def guard(action: str) -> None:
    """Refuse commits that touch a file which another holds exclusively: a pre-commit hook of git,
    in the repository of the current folder.

    A hook that is there runs first, and comes back with `uninstall`. BUS_GUARD=0 lets one commit
    through, and the holder is told. If the hub is away, the commit goes on with a warning. The
    hook itself runs `bus guard check`.
    """
    if action == "check":
        from busclient._guard import commit  # noqa: PLC0415

        commit.main()
    from busclient._guard.hook_file import HookFile  # noqa: PLC0415

    file = HookFile(Path.cwd())
    if action == "status":
        found = file.state()
        out.result(_facts(found, found.state == "installed"), _status(found))
        return
    changed = file.install(_this_bus()) if action == "install" else file.uninstall()
    found = file.state()
    if action == "install":
        words = "is in" if changed else "was in"
        other = ", behind the hook that was there" if found.has_other else ""
    else:
        words = "is out of" if changed else "was not in"
        other = ", and the hook that was there is back" if changed and found.has_other else ""
    out.result(_facts(found, changed), f"the guard {words} {found.path}{other}")


def _this_bus() -> list[str]:
    """Return how this command is run from anywhere; nothing is imported from where that is."""
    called = Path(sys.argv[0])
    if called.name == "bus" and called.exists():
        return [str(called.absolute())]
    return [sys.executable, "-P", "-m", "busclient"]


def _facts(found: State, changed: bool) -> dict[str, object]:
    facts = {"state": found.state, "path": str(found.path), "has_other": found.has_other}
    return {**facts, "changed": changed}


def _status(found: State) -> str:
    if found.state == "installed":
        other = "; the hook that was there runs first" if found.has_other else ""
        return f"installed: {found.path}{other}"
    if found.state == "replaced":
        return f"replaced: another hook was put over the guard in {found.path}"
    other = "; there is another hook" if found.has_other else ""
    return f"absent: no guard in {found.path}{other}"
