"""From what ClaudeMail has to what it becomes here: first a plan, then, if somebody wants it, done.

Everything may be done again: a signature that is there stays, and the hub knows each file by what
stands in it. So what was cut short is carried on by the next run.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from busclient._bus import Bus
from busclient._claudemail.config import Config
from busclient._claudemail.mailbox import LONGEST, File, files
from busclient._claudemail.plain_files import NotTaken, read_text
from busclient._errors import BusError, KeyReused

_OLDER_HUB = ("no_such_route", "method_not_allowed")  # it takes in no files
_IMPORTER = "import"  # under which the hub posts what others wrote
_NO_POLLS = "mail is pushed here, nothing asks for it"
# Of an interval, by a word in its name: the setting of the hub for it, or why there is none.
_INTERVALS = (
    (("lease", "stale", "offline", "gone", "presence"), "BUS_LEASE_S"),
    (("poll", "check", "sync", "inbox", "refresh", "watch"), _NO_POLLS),
    (("heartbeat", "ping"), "a session gives its signs of life by itself"),
    (("digest", "report"), "`bus digest` shows it when somebody asks; cron can"),
    (("clean", "archive", "purge"), "what is acknowledged is out of the way at once"),
)
_SHORTEST, _LONGEST = 5, 86_400  # of BUS_LEASE_S
_IN_SECONDS = (
    (("ms", "millis", "milliseconds"), 0.001),
    (("m", "min", "mins", "minutes"), 60.0),
    (("h", "hours"), 3600.0),
)


@dataclass
class Plan:
    """What a configuration becomes here."""

    config: Path
    names: dict[str, str] = field(default_factory=dict)  # there: here
    signs: dict[str, str] = field(default_factory=dict)  # here: the callsign, or the name, there
    signatures: dict[str, str] = field(default_factory=dict)  # of names here
    settings: list[str] = field(default_factory=list)  # lines for the hub's settings file
    links: list[str] = field(default_factory=list)  # commands that this release does not have
    mailbox: Path | None = None
    files: list[tuple[File, str]] = field(default_factory=list)  # and whose mail that is here
    left: list[str] = field(default_factory=list)  # what becomes nothing here, and why
    problems: list[tuple[str, str]] = field(default_factory=list)  # a file, and why not

    def sign_of(self, there: str) -> str:
        """Return what a name goes by there."""
        return self.signs.get(self.names.get(there, ""), there)

    def counts(self) -> dict[tuple[str, str], int]:
        """Return how many briefs there are for each name and box."""
        return dict(sorted(Counter((name, file.box) for file, name in self.files).items()))


@dataclass
class Done:
    """What was done: how many briefs are new and how many were there, and what was refused."""

    signed: list[str] = field(default_factory=list)
    posted: int = 0
    known: int = 0
    problems: list[tuple[str, str]] = field(default_factory=list)


def plan(config: Config, me: str, machine: str | None) -> Plan:
    """Return what a configuration becomes for `me`, whose credential is that of `machine` (None:
    the shared user's).
    """
    made = Plan(config.path, left=list(config.odd))
    for there, sign in config.names.items():
        _name(made, there, sign, machine)
    for there, text in config.signatures.items():
        if there in made.names:
            made.signatures[made.names[there]] = text
    made.links = [f"bus link add --node {name}={at}" for name, at in config.nodes.items()]
    for name, value in config.intervals.items():
        setting, why = _setting(name, value)
        made.settings += [setting] if setting else []
        made.left += [f"intervals.{name}: {why}"] if why else []
    made.mailbox = config.mailbox_dir
    if config.mailbox_dir is not None:
        _mail(made, config.mailbox_dir, me, machine)
    return made


def apply(plan: Plan, bus: Bus, tell: Callable[[Done], None] = lambda done: None) -> Done:
    """Set the signatures and post the briefs. `tell` hears after each file how far it is.

    Raises BusError for what is not the fault of a file: the next run goes on from there.
    """
    done = Done()
    for name, text in plan.signatures.items():
        try:
            bus.briefs.sign(text, name=name)
            done.signed.append(name)
        except BusError as error:
            done.problems.append((f"the signature of {name}", _why(error)))
    for file, name in plan.files:
        try:
            posted = bus.briefs.take_in(read_text(file.path, LONGEST), name=name, box=file.box)
            done.posted += not posted.posted.replayed
            done.known += posted.posted.replayed
        except NotTaken as error:
            done.problems.append((str(file.path), f"{error}"))
        except KeyReused:  # another version of the hub took it in
            done.known += 1
        except BusError as error:
            done.problems.append((str(file.path), _why(error)))
        tell(done)
    return done


def _why(error: BusError) -> str:
    """Return what is wrong with a file; raises what is wrong with something else."""
    is_passing = error.status is None or error.status >= 500 or error.status in (401, 408, 429)
    if is_passing or error.code in _OLDER_HUB:
        raise error
    return error.message.rstrip(".")


def _name(made: Plan, there: str, sign: str, machine: str | None) -> str | None:
    """Note what a name is here, and return that; None, and a note, where it can be none."""
    here = name_here(sign, machine)
    if here is None:
        made.left.append(f"{there}: it cannot be a name here; rename it")
    elif made.signs.setdefault(here, sign) != sign:
        made.left.append(f"{there}: {here} is {made.signs[here]}'s already; rename one of them")
    else:
        made.names[there] = here
    return made.names.get(there)


def name_here(sign: str, machine: str | None) -> str | None:
    """Return what a name of ClaudeMail is here: a session of the machine; of the shared user, which
    has no sessions, the name alone. None if nothing is left of it.
    """
    if machine is not None and (
        sign == machine
        or re.fullmatch(rf"{re.escape(machine)}/[A-Za-z0-9][A-Za-z0-9._-]{{0,63}}", sign)
    ):
        return sign
    part = _plain(sign)
    if not part or part == _IMPORTER:
        return None
    return part if machine is None or part == machine else f"{machine}/{part}"


def _plain(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("._-")[:64]


def _mail(made: Plan, folder: Path, me: str, machine: str | None) -> None:
    unknown: set[str] = set()
    try:
        for file in files(folder):
            if file.why:
                made.problems.append((str(file.path), file.why))
                continue
            owner = file.owner
            name = made.names.get(owner) if owner else me
            if name is None and owner not in unknown:
                last = owner.rpartition("/")[2]
                is_mine = machine is not None and owner.startswith(f"{machine}/")
                name = _name(made, owner, owner if is_mine else made.sign_of(last), machine)
                unknown |= {owner} if name is None else set()
            if name is None:
                made.problems.append((str(file.path), f"{owner} is no name here"))
            else:
                made.files.append((file, name))
    except NotTaken as error:
        made.problems.append((str(folder), str(error)))


def _setting(name: str, value: Any) -> tuple[str, str]:
    """Return the line that stands for an interval, or why there is none."""
    words = set(re.split(r"[^a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()))
    for known, becomes in _INTERVALS:
        if not any(word.startswith(known) for word in words):
            continue
        if not becomes.startswith("BUS_"):
            return "", becomes
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1e9:
            return "", "it is no number of seconds"
        seconds = value * next((by for units, by in _IN_SECONDS if words & {*units}), 1.0)
        if not _SHORTEST <= seconds <= _LONGEST:
            span = f"{_SHORTEST} to {_LONGEST:,} seconds"
            return "", f"{becomes} takes {span}, and this is {round(seconds):,}"
        return f"{becomes}={round(seconds)}", ""
    return "", "nothing here stands for it"
