"""Puts mail into the session that started this MCP server: through the session's own inbox socket,
or as a notification of a channel.

Claude Code takes what its own children write into the socket, in every permission mode. It says
nothing back; that a text has arrived is known from the hook of the prompt that it becomes. If that
does not come, the mail is left to the hooks.
"""

from __future__ import annotations

import json
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from busclient._bus import Bus
from busclient._claude import follower
from busclient._claude.claude_files import settings_files
from busclient._claude.follower import Wake
from busclient._claude.hook import ask
from busclient._claude.sessions import Session, Sessions, claude_process
from busclient._claude.state import PUSHED, log, read
from busclient._places import Places

SOCKET, CHANNEL, OFF = "socket", "channel", "off"
_LOOKS_EVERY_S = 0.25
_LOOKS = 2_400  # ten minutes: it may stand behind a dialog, or behind a tool that runs long
_SENT_WITHIN_S = 3.0
_PATIENT_MS = 10_000  # no prompt waits for this answer
_SOCKET_FILE = "CLAUDE_CODE_MESSAGING_SOCKET"

Notify = Callable[[str, Mapping[str, Any]], None]  # sends a notification to the MCP client
# Returns the session, registered if it was not, and whether hooks of it did that.
Register = Callable[[], tuple[Session | None, bool]]


def way(environ: Mapping[str, str]) -> str:
    """Return how mail is pushed: BUS_PUSH, or by the socket where there is one.

    A run of `claude -p` is not pushed to: it would not end.
    """
    given = environ.get("BUS_PUSH", SOCKET)
    if given == CHANNEL:
        return CHANNEL
    is_there = Path(environ.get(_SOCKET_FILE, "/nonexistent")).is_socket()
    is_attended = environ.get("CLAUDE_CODE_ENTRYPOINT") == "cli"
    if given == OFF or not (is_there and is_attended) or _is_refused(environ):
        return OFF
    return SOCKET


class Push:
    """Follows the mail of one session, beside the MCP server."""

    def __init__(
        self,
        environ: Mapping[str, str],
        register: Register,
        notify: Notify,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._environ, self._register, self._notify = environ, register, notify
        self._sleep, self._places = sleep, Places.of_user(environ)
        self._sessions = Sessions(self._places)

    def start(self) -> None:
        """Follow in a thread that ends with this process."""
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        try:
            pid = claude_process(self._environ, self._sessions)
            if pid is None:
                return
            with Bus.from_env(light=True) as bus:
                self._follow(bus, pid)
        except Exception as error:
            log(self._places, f"the MCP server does not push: {error!r}")

    def _follow(self, bus: Bus, pid: int) -> None:
        from filelock import FileLock, Timeout  # noqa: PLC0415  20 ms

        follower.awaited(self._sessions, pid, self._sleep)
        session, has_hooks = self._register()
        if session is None:
            return
        chosen = way(self._environ)
        if chosen == OFF or follower.wakes(self._environ) == "off":
            return
        try:
            with FileLock(follower.pusher_lock_of(self._places, session), timeout=0):
                waiter = FileLock(follower.lock_of(self._places, session))
                while session.lives():
                    with suppress(Timeout), waiter.acquire(timeout=1):
                        self._push_all(bus, session, chosen, has_hooks)
                        return
        except Timeout:
            return  # another MCP server of the session does it
        finally:
            follower.tidy(self._places, session)

    def _push_all(self, bus: Bus, session: Session, chosen: str, has_hooks: bool) -> None:
        if not has_hooks:
            event = {"hook_event_name": "SessionStart"}
            waits = ask(bus._calls, session, event, within_ms=_PATIENT_MS)
            text = str((waits.get("hookSpecificOutput") or {}).get("additionalContext") or "")
            if "<bus-mail " in text:
                self._send(chosen, Wake(session, text, ()))
        wakes = follower.follow(
            bus, self._environ, self._places, self._sessions, session, self._sleep, chosen
        )
        for wake in wakes:
            id = self._send(chosen, wake)
            if chosen == SOCKET and (id is None or (has_hooks and not self._arrived(wake, id))):
                log(self._places, "a push has not arrived; mail is left to the hooks")
                follower.unwoken(bus, wake)
                return

    def _send(self, chosen: str, wake: Wake) -> str | None:
        """Send a text into the session; return the id that it has there, None if it failed."""
        id = secrets.token_hex(4)
        if chosen == CHANNEL:
            params = {"content": wake.text, "meta": {"push": id}}
            self._notify("notifications/claude/channel", params)
            return id
        try:
            send(self._environ, wake.text, id)
        except OSError as error:
            log(self._places, f"the session's inbox socket: {error}")
            return None
        return id

    def _arrived(self, wake: Wake, id: str) -> bool:
        """Return whether the hook of the prompt has seen a push."""
        for _ in range(_LOOKS):
            if not wake.session.lives():
                return True
            if read(self._places, f"pushed-{wake.session.pid}.json").get("id") == id:
                return True
            self._sleep(_LOOKS_EVERY_S)
        return False


def send(environ: Mapping[str, str], text: str, id: str) -> None:
    """Write a text into the session's inbox socket; raises OSError.

    The hub has made sure that nothing in it can close this frame.
    """
    body = f'{PUSHED}{id}" from-name="claude-bus">\n{text}\n</cross-session-message>'
    lines = [{"type": "user", "message": {"role": "user", "content": body}}]
    token = environ.get("CLAUDE_CODE_MESSAGING_TOKEN")
    if token:
        lines.insert(0, {"type": "auth", "token": token})
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as inbox:
        inbox.settimeout(_SENT_WITHIN_S)
        inbox.connect(environ[_SOCKET_FILE])
        for line in lines:
            inbox.sendall(json.dumps(line).encode() + b"\n")


def _is_refused(environ: Mapping[str, str]) -> bool:
    """Return whether the user has told Claude Code to drop what comes through the socket."""
    for path in settings_files(environ, "."):
        with suppress(OSError, ValueError):
            found = json.loads(path.read_text(encoding="utf-8"))
            if isinstance(found, dict) and found.get("crossSessionInbound") == "refuse":
                return True
    return False
