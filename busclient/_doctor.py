"""Looking at each step between this machine and a read message, in the order in which they must
work.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import socket
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from busclient._bus import Bus
from busclient._errors import BusError, NotFound, SettingsError, Unauthorized, Unreachable
from busclient._http.calls import Patience
from busclient._http.proxies import proxy_of, trust
from busclient._http.trouble import in_words
from busclient._outbox.outbox import Outbox
from busclient._places import Places
from busclient._settings import Settings

_CLOCK_S = 5.0  # a larger difference makes ages and expiry look wrong
# In place of those that send the reader here.
_HINTS = {
    Unreachable.hint: "Is BUS_URL right, and the hub up?",
    Unauthorized.hint: "Check BUS_USER and BUS_PASS: the first line says where they were found.",
}
# What `bus install claude-code` has put there.
_INSTALLED = re.compile(r"(?:^|/)(?:bus|python\S* (?:-P )?-m busclient)['\"]? hook$")
_PATIENCE = Patience(connect_s=5, read_s=8, total_s=10, attempts=1)


class RoundTrip(NamedTuple):
    """How long it took to post a message to oneself, to read it and to ack it."""

    post_ms: float
    read_ms: float
    ack_ms: float


@dataclass(frozen=True)
class Step:
    """One look: `ok` is None for news that is neither good nor bad; `hint` says what to do when it
    is False.
    """

    name: str
    ok: bool | None
    text: str
    hint: str = ""
    ms: float = 0.0


def examine(places: Places, environ: dict[str, str] | None = None) -> Iterator[Step]:
    """Yield every step as it is done. What a failed step makes useless is left out."""
    claude = (os.environ if environ is None else environ).get("CLAUDE_CONFIG_DIR")
    try:
        settings = Settings.find(environ, places)
    except SettingsError as error:
        yield Step("settings", False, error.message, error.hint)
        yield from _local_steps(places, None, claude)
        return
    found = ", ".join(f"{name} from {place}" for name, place in sorted(settings.sources.items()))
    yield Step(
        "settings",
        True,
        f"hub {settings.url}, user {settings.user}, name {settings.name} ({found})",
    )
    yield _modes(places.env_file)
    steps = _way(settings)
    bus = Bus(settings, patience=_PATIENCE)
    steps += [
        ("ssh and hub" if settings.ssh_host else "hub", lambda: _hub(bus)),
        ("credential", lambda: _credential(bus)),
        ("clock", lambda: _clock(bus)),
        ("round trip", lambda: _round_trip(bus)),
    ]
    for name, look in steps:
        step = _timed(name, look)
        yield step
        if step.ok is False and name != "clock":
            break
    else:
        yield from _exec(bus)
        yield from _notices(bus)
    bus.close()
    yield from _local_steps(places, settings, claude)


def _way(settings: Settings) -> list[tuple[str, Callable[[], str]]]:
    """Return the steps to the hub's door; through ssh there are none that can be looked at from
    here.
    """
    if settings.ssh_host:
        return []
    proxy = proxy_of(settings)
    if proxy is not None:
        return [("proxy", lambda: _connect_to_proxy(proxy))]
    return [("dns", lambda: _dns(settings)), ("connect", lambda: _connect(settings))]


def _timed(name: str, look: Callable[[], str]) -> Step:
    started = time.perf_counter()
    try:
        text, ok, hint = look(), True, ""
    except BusError as error:
        text, ok, hint = error.message, False, _HINTS.get(error.hint, error.hint)
    except OSError as error:
        text, ok, hint = (
            in_words([error]) or str(error.strerror or error),
            False,
            _HINTS[Unreachable.hint],
        )
    return Step(name, ok, text, hint, (time.perf_counter() - started) * 1000)


def _modes(path: Path) -> Step:
    if not path.exists():
        return Step("file modes", None, f"there is no {path}")
    if os.name == "nt":
        return Step(
            "file modes", None, "Windows keeps a user's files from other users by its own means"
        )
    open_to_others = [
        str(place)
        for place, most in ((path, 0o600), (path.parent, 0o700))
        if stat.S_IMODE(place.stat().st_mode) & ~most
    ]
    if open_to_others:
        return Step(
            "file modes",
            False,
            f"others can reach {' and '.join(open_to_others)}",
            f"chmod 700 {path.parent}; chmod 600 {path}",
        )
    return Step("file modes", True, f"{path} is for you alone")


def _dns(settings: Settings) -> str:
    address = urlsplit(settings.url)
    found = socket.getaddrinfo(address.hostname, address.port or 0, type=socket.SOCK_STREAM)
    return f"{address.hostname} is {', '.join(sorted({str(entry[4][0]) for entry in found}))}"


def _connect_to_proxy(proxy: str) -> str:
    """Return what is behind it only the proxy can reach: names are resolved there, too."""
    address = urlsplit(proxy)
    port = address.port or (443 if address.scheme == "https" else 80)
    with socket.create_connection((address.hostname, port), timeout=5):
        return f"calls go through {address.scheme}://{address.hostname}:{port}, which is open"


def _connect(settings: Settings) -> str:
    address = urlsplit(settings.url)
    port = address.port or (443 if address.scheme == "https" else 80)
    with socket.create_connection((address.hostname, port), timeout=5) as sock:
        if address.scheme != "https":
            return f"port {port} is open"
        with trust(settings).wrap_socket(sock, server_hostname=address.hostname) as tls:
            ends = str((tls.getpeercert() or {}).get("notAfter", "?"))
            return f"port {port} is open; {tls.version()}; the certificate is good until {ends}"


def _hub(bus: Bus) -> str:
    try:
        facts = bus.health()
    except BusError as error:
        if error.status in (401, 403):
            return "it answers"
        raise
    if not facts.get("ok"):
        hint = "Its operator makes room, or restarts it; reads go on."
        raise BusError(
            f"it answers, but takes no posts: storage {facts.get('storage', '?')}", hint=hint
        )
    return (
        f"it answers: version {facts.get('version', '?')}, {facts.get('count')} messages, storage"
        f" {facts.get('storage', '?')}"
    )


def _credential(bus: Bus) -> str:
    bus.messages(limit=1)
    try:
        me = bus.me()
    except NotFound:
        return f"the hub knows {bus.settings.user}"
    return f"the hub knows {me.get('name')}, as {me.get('role')}"


def _exec(bus: Bus) -> Iterator[Step]:
    """Yield whether commands can be run in targets, where the hub says so. Messages go without."""
    try:
        state = bus.health().get("exec")
    except BusError:
        return
    if state == "ready":
        yield Step("exec", True, "commands can be run in other machines")
    elif state is not None:
        hint = (
            "Messages go without it; `bus exec`, `cat` and `put` wait for an operator to start"
            " claude-bus-exec."
        )
        yield Step("exec", None, f"the service that runs commands is {state}", hint)


def _notices(bus: Bus) -> Iterator[Step]:
    """Yield whether notices are sent, where the hub has settings for them."""
    try:
        facts = bus.health()
    except BusError:
        return
    behind = facts.get("notify_behind")
    if facts.get("notify") == "ready":
        yield Step("notices", True, f"sent; {behind} records of the log behind")
    elif facts.get("notify") == "away":
        hint = "They wait for an operator to start claude-bus-notify; messages go without it."
        text = f"the service that sends them is away; {behind} records of the log behind"
        yield Step("notices", None, text, hint)


def _clock(bus: Bus) -> str:
    before = time.time()
    hub = datetime.fromisoformat(bus.health()["now"]).astimezone(UTC).timestamp()
    off = hub - (before + time.time()) / 2
    if abs(off) > _CLOCK_S:
        raise BusError(
            f"the hub's clock is {off:+.1f} s from this machine's",
            hint="Set this machine's clock (NTP). Order is not affected.",
        )
    return f"{off:+.2f} s from the hub's"


def _round_trip(bus: Bus) -> str:
    times = round_trip(bus)
    return f"post {times.post_ms:.0f} ms, read {times.read_ms:.0f} ms, ack {times.ack_ms:.0f} ms"


def round_trip(bus: Bus) -> RoundTrip:
    """Post a message to oneself, read it, ack it; raises BusError.

    It expires in a minute, whatever happens.
    """
    direct = bus.without_outbox()
    started = time.perf_counter()
    posted = direct.post(
        "bus round trip", to=direct.name, tags=["bus-doctor"], priority="fyi", expires_in_s=60
    )
    sent = time.perf_counter()
    assert posted.message is not None
    found = direct.message(posted.message)
    read = time.perf_counter()
    direct.ack(found)
    acked = time.perf_counter()
    return RoundTrip((sent - started) * 1000, (read - sent) * 1000, (acked - read) * 1000)


def _local_steps(places: Places, settings: Settings | None, claude: str | None) -> Iterator[Step]:
    yield _outbox(places, settings)
    if settings is not None and settings.handoffs is not None:
        yield _handoffs(settings.handoffs, settings.handoffs_source)
    yield _hook(places, claude)


def _outbox(places: Places, settings: Settings | None) -> Step:
    waiting = Outbox(places.state).entries()
    if not waiting:
        return Step("outbox", True, "empty")
    others = [
        entry for entry in waiting if settings is not None and not entry.is_for(*settings.place)
    ]
    hints = [] if len(others) == len(waiting) else ["bus outbox --flush delivers them"]
    if others:
        hints.append(
            f"{len(others)} wait for another address or user: bus outbox --flush --any-hub, or bus"
            " outbox drop KEY"
        )
    return Step("outbox", None, f"{len(waiting)} messages wait", "; ".join(hints))


def _handoffs(clone: Path, source: str | None) -> Step:
    if (clone / ".git").exists():
        return Step("handoffs", True, str(clone))
    if source is not None:
        return Step(
            "handoffs", None, f"not cloned yet; the next session start does it, into {clone}"
        )
    return Step(
        "handoffs", False, str(clone), "BUS_HANDOFFS must be a git clone, or name its repository"
    )


def _hook(places: Places, claude: str | None) -> Step:
    """Return whether Claude Code shows mail at session start, and when that last ran."""
    folder = Path(claude) if claude else places.env_file.parents[1] / ".claude"
    config = folder / "settings.json"
    try:
        commands = _session_start_commands(config)
    except (OSError, ValueError, AttributeError, TypeError) as error:
        why = f"{config} cannot be read, so Claude Code runs no hook of it: {error}"
        return Step(
            "hook",
            False,
            why,
            "Mend the file: it must be a JSON object, in UTF-8 without a byte order mark.",
        )
    polls = [
        command for command in commands if "session-start-poll" in command or "bus poll" in command
    ]
    hooks = [command for command in commands if _INSTALLED.search(command)]
    if not polls and not hooks:
        return Step(
            "hook",
            None,
            f"no SessionStart hook in {config}",
            "`bus install claude-code` puts it there",
        )
    missing = [
        program for command in polls + hooks if (program := _missing_program(command)) is not None
    ]
    if missing:
        return Step(
            "hook",
            False,
            f"the hook in {config} runs {missing[0]}, which cannot be run",
            "Is its path right?",
        )
    if polls and hooks:
        return Step(
            "hook",
            None,
            f"mail is shown twice at a session's start: by `{hooks[0]}` and by `{polls[0]}`",
            f"Take the second one out of {config}.",
        )
    try:
        last = _last_ran(places, by_install=bool(hooks))
    except (OSError, ValueError, KeyError, TypeError):
        return Step("hook", None, "installed; it has not run yet")
    return Step("hook", True, f"installed; last ran {last:%Y-%m-%d %H:%M} UTC")


def _last_ran(places: Places, *, by_install: bool) -> datetime:
    """Return when the hook of a session's start last ran; raises what its note is not there for."""
    if by_install:
        ran = json.loads((places.state / "hooks-ran.json").read_text(encoding="utf-8"))
        return datetime.fromisoformat(ran["SessionStart"])
    return datetime.fromtimestamp((places.state / "last-poll").stat().st_mtime, UTC)


def _session_start_commands(config: Path) -> list[str]:
    """Return the commands of the SessionStart hooks; raises OSError or ValueError for a file that
    Claude Code cannot read either.
    """
    try:
        text = config.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return []
    groups = json.loads(text).get("hooks", {}).get("SessionStart", [])
    return [str(hook.get("command", "")) for group in groups for hook in group.get("hooks", [])]


def _missing_program(command: str) -> str | None:
    """Return the script of ours (or `bus`) in a command line, when it is not there or may not be
    run; else None.
    """
    try:
        words = [os.path.expanduser(os.path.expandvars(word)) for word in shlex.split(command)]
    except ValueError:
        return None
    for number, word in enumerate(words):
        if word.endswith("session-start-poll") and "$" not in word:
            is_there = os.access(word, os.X_OK) if number == 0 else Path(word).is_file()
            return None if is_there or not Path(word).is_absolute() else word
        if Path(word).name == "bus" and words[number + 1 : number + 2] in (["poll"], ["hook"]):
            return None if shutil.which(word) else word
    return None
