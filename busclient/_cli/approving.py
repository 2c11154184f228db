"""bus approve."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from typing import Any

import click

from busclient import Bus
from busclient._cli import exits, kinds
from busclient._cli.output import age, json_option, open_bus, out
from busclient._harmless import harmless, one_line
from busclient._net.forms import Approval

_PLAIN = re.compile(r"[A-Za-z0-9_./:=@%+,-]+")
# What the hub spells, in a difference: other letters than ASCII's are also shown as they read. A
# doubled backslash is none.
_SPELT = re.compile(r"\\\\|\\u([0-9a-f]{4})|\\U(00(?:0[0-9a-f]|10)[0-9a-f]{4})")
_HEAD = ("id", "state", "from", "target", "action", "argv", "diff", "asked", "ok")


@click.command()
@click.argument("id", required=False)
@click.option(
    "--all-from",
    "asker",
    metavar="NAME",
    help="Answer all pending questions of this machine at once.",
)
@click.option("--deny", is_flag=True, help="Say no.")
@click.option("--yes", is_flag=True, help="Answer yes without a question back.")
@click.option(
    "--expires",
    "expires_in_s",
    type=kinds.DURATION,
    metavar="TIME",
    help="How long a yes is valid; default 15m.",
)
@click.option(
    "--state",
    help="Without ID: only those that are pending, allowed, denied, used or expired.",
    default="pending",
)
@json_option
def approve(
    id: str | None, asker: str | None, deny: bool, yes: bool, expires_in_s: float | None, state: str
) -> int:
    """Answer the question ID: may this very call be made? Without ID, list the questions. Admins
    answer.

    It shows what would be done, word for word, and asks on a terminal; --yes and --deny do not ask.
    With --all-from, it answers those that it has shown, and none that came meanwhile.
    """
    if id is not None and asker is not None:
        raise click.UsageError("Give either ID or --all-from.")
    with open_bus() as bus:
        if asker is not None:
            return _answer_all(bus, asker, deny, yes, expires_in_s)
        if id is None:
            _list(bus.net.approvals(state=state), state)
            return exits.OK
        asked = bus.net.approval(id)
        _show([asked])
        if not _is_meant("Allow this, once?", deny, yes):
            return exits.OK
        answered = bus.admin.approve(id, not deny, expires_in_s=expires_in_s)
    out.result({"approval": answered.raw}, f"{answered.id}: {one_line(answered.state, 40)}")
    return exits.OK


def _answer_all(bus: Bus, asker: str, deny: bool, yes: bool, expires_in_s: float | None) -> int:
    """Answer the questions of one machine that are shown here."""
    waiting = bus.net.approvals(state="pending", sender=asker)
    _show(waiting)
    if not waiting:
        out.result({"approvals": []}, f"no pending questions of {one_line(asker, 140)}")
        return exits.OK
    if not _is_meant(f"Allow these {len(waiting)}, each once?", deny, yes):
        return exits.OK
    answered = bus.admin.approve_all(
        [asked.id for asked in waiting], not deny, expires_in_s=expires_in_s
    )
    lines = [f"{asked.id}: {one_line(asked.state, 40)}" for asked in answered]
    out.result({"approvals": [asked.raw for asked in answered]}, "\n".join(lines))
    return exits.OK


def _is_meant(question: str, deny: bool, yes: bool) -> bool:
    """Return whether to answer: as the options say, or the person at the terminal."""
    if yes or deny:
        return True
    if out.as_json or not sys.stdin.isatty():
        raise click.UsageError("Give --yes or --deny: there is no terminal to ask on.")
    if click.confirm(question, err=True):
        return True
    out.note("not answered; --deny says no")
    return False


def _list(found: list[Approval], state: str) -> None:
    if out.as_json:
        out.json({"ok": True, "approvals": [asked.raw for asked in found]})
        return
    _show(found)
    if not found:
        out.line(f"no {one_line(state, 40)} questions")


def _show(found: list[Approval]) -> None:
    for asked in found if not out.as_json else []:
        out.line("\n".join(_whole(asked)))


def _whole(asked: Approval) -> Iterator[str]:
    """Yield everything that is asked for, so that nothing is allowed unseen; indented, so that no
    part can pass for a head.
    """
    when = f" {age(asked.asked)}" if asked.asked else ""
    yield one_line(
        f"{asked.id}{when} {asked.sender} > {asked.target} {asked.action} ({asked.state})", 300
    )
    if asked.argv:
        yield f"  $ {' '.join(map(_word, asked.argv))}"
    for name, value in asked.raw.items():
        if name not in _HEAD:
            yield f"  {one_line(name, 40)}: {value if _is_plain(value) else json.dumps(value)}"
    if asked.diff == "":
        yield "  (its content stays as it is)"
    elif asked.diff is not None:
        for line in asked.diff.removesuffix("\n").split("\n"):
            yield f"  | {harmless(line)}"
            if (read := _SPELT.sub(_letter, line)) != line:
                yield f"  ~ {harmless(read)}"


def _letter(spelt: re.Match[str]) -> str:
    return chr(int(spelt[1] or spelt[2], 16)) if spelt[1] or spelt[2] else spelt[0]


def _is_plain(value: Any) -> bool:
    return isinstance(value, str) and _PLAIN.fullmatch(value) is not None


def _word(word: str) -> str:
    """Return a word of a command, so that one sees where it ends and what is in it: in ASCII, with
    quotes where it is not plain.
    """
    return word if _is_plain(word) else json.dumps(word)
