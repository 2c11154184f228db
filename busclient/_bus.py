"""The library's door: a `Bus` is one agent's connection to its hub."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from busclient._connection import Connection
from busclient._errors import (
    BusError,
)
from busclient._filing import Filing
from busclient._http.calls import Calls, Patience, new_key
from busclient._messages import reading, sending
from busclient._messages.message import Acked, Drained, Message, Posted
from busclient._messages.reading import Ref
from busclient._nouns import Nouns
from busclient._outbox.outbox import Outbox
from busclient._places import Places
from busclient._settings import Settings

if TYPE_CHECKING:
    from requests.adapters import BaseAdapter

    from busclient._agents.agents import Agents
    from busclient._agents.checkup import Checkup
    from busclient._agents.file_leases import FileLease, FileLeases
    from busclient._agents.topics import Topics
    from busclient._net.admin import Admin
    from busclient._net.net import Net

logger = logging.getLogger("busclient")

T = TypeVar("T")
_PAGE = 200
_DELIVERY_S = 5.0  # how long a post waits for another process that is emptying the outbox
_STREAM_IDLE_S = 40.0  # the hub gives a sign of life every 15


class Bus(Nouns, Filing):
    """Speaks for `settings.name`. Every call raises BusError; see `busclient._errors` for the tree.

    `transport` is an adapter of requests, for tests and for ways of one's own; `light` does without
    requests, which takes 60 ms to load, where the hub can be reached so. `outbox` None means that
    `post` raises when the hub is away. Use it in one thread at a time; as a context manager it
    closes its connection.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        transport: BaseAdapter | None = None,
        outbox: Outbox | None = None,
        patience: Patience | None = None,
        sleep: Callable[[float], None] = time.sleep,
        light: bool = False,
    ) -> None:
        self.settings, self._sleep = settings, sleep
        self._calls = Calls(settings, transport, patience or Patience(), sleep, light=light)
        self._connection = Connection(settings, self._calls, outbox)

    @classmethod
    def from_env(cls, *, patience: Patience | None = None, light: bool = False) -> Bus:
        """Return the Bus of this user on this machine, with the outbox; raises SettingsError.

        See `Settings.find`.
        """
        from busclient import _hub_control  # noqa: PLC0415

        places = Places.of_user()
        bus = cls(
            _hub_control.find_settings(places),
            outbox=Outbox(places.state),
            patience=patience,
            light=light,
        )
        if _hub_control.is_wanted(bus.settings, places):
            start = partial(_hub_control.start_once, bus.settings, places)
            bus._connection.start_hub = start
        elif _hub_control.was_ended(bus.settings, places):
            bus._connection.away_hint = "`bus down` has ended it: `bus up` starts it again."
        return bus

    def __repr__(self) -> str:
        return f"<Bus {self.name} at {self.settings.url}>"

    @property
    def outbox(self) -> Outbox | None:
        """What keeps messages while the hub is away; None if nothing does."""
        return self._connection.outbox

    # -- posting ---------------------------------------------------------------------------------

    def post(
        self,
        body: str,
        *,
        to: str | Sequence[str] = "any",
        tags: Sequence[str] = (),
        priority: str | None = None,
        in_reply_to: Ref | None = None,
        thread: str | None = None,
        data: Mapping[str, Any] | None = None,
        expires_in_s: float | None = None,
        ack_by: float | str | None = None,
        supersedes: Ref | None = None,
        forward: Ref | None = None,
        key: str | None = None,
        strict: bool | None = None,
    ) -> Posted:
        """Post a message. On return it is on the hub's stable storage or, when the hub is away, on
        this machine's.

        `to` is a name, several, or `any` for everybody. A `key` makes two calls one message;
        without it each call is its own. `ack_by` is a deadline, in seconds or as a time: you are
        told who has not acknowledged by then. `supersedes` is an older message of yours, `forward`
        one that this passes on. A `strict`
        post to a name that nobody has raises UnknownRecipient. Raises Refused and what else the hub
        says of the request; Unreachable and Unavailable only without an outbox, and OutboxFailed
        when the message could be kept nowhere.
        """
        more = {
            "tags": tags,
            "priority": priority,
            "thread": thread,
            "data": data,
            "expires_in_s": expires_in_s,
            "ack_by": ack_by,
            "client_id": key,
            "strict": strict,
        }
        if in_reply_to is not None:
            more["in_reply_to"] = reading.ref(in_reply_to)
        if supersedes is not None:
            more["supersedes"] = reading.ref(supersedes)
        if forward is not None:
            more["forward"] = reading.ref(forward)
        fields = sending.draft(self.name, body, to, more)
        return self._connection.send(fields)

    def post_many(self, drafts: Sequence[Mapping[str, Any]]) -> list[Posted | BusError]:
        """Post up to 1,000 messages with one request and one sync; one outcome for each, in order.
        Not through the outbox.

        A draft holds the hub's fields (`to`, `body`, `tags`, …); `from` and `client_id` are filled
        in.
        """
        block = [
            sending.checked({"from": self.name, "client_id": new_key(), **fields})
            for fields in drafts
        ]
        return self._connection.call(lambda: sending.post_block(self._calls, block))

    def reply(self, message: Ref, body: str, **fields: Any) -> Posted:
        """Answer a message to its sender, in its thread. Other fields as in `post`."""
        if isinstance(message, Message):
            to, ref = message.sender, message.id
        else:  # a reference such as 412.k7f3 proves something to the reply, not to the look at it
            to, ref = self.message(reading.plain(message)).sender, str(message)
        return self.post(body, **{"to": to, "in_reply_to": ref, **fields})

    def forward(
        self, message: Ref, to: str | Sequence[str], comment: str | None = None, **fields: Any
    ) -> Posted:
        """Pass a message on: its text, or a comment and the text quoted below it. Other fields as
        in `post`. Raises NotFound for one that I may not read.

        The hub marks it with the lowest trust of all that it has passed through.
        """
        original = message if isinstance(message, Message) else self.message(message)
        body = original.body if comment is None else sending.quoting(original, comment)
        about = {"data": original.data, "forward": original.id, **fields}
        return self.post(body, to=to, **about)

    def flush(self, *, wait_s: float = 0, any_hub: bool = False) -> int:
        """Deliver what waits in the outbox, in order; returns how many messages the hub took.
        Raises BusError.

        `any_hub` also takes what was written for another address or user.
        """
        return self._connection.flush(wait_s=wait_s, any_hub=any_hub)

    # -- done with a message ---------------------------------------------------------------------

    def ack(self, *messages: Ref) -> Acked:
        """Say that I am done with messages; again does no harm. A session that is done with its
        machine's mail is so for all sessions.

        Raises NotFound, and then none is acknowledged.
        """
        refs = [reading.ref(message) for message in messages]
        if len(refs) == 1:
            return reading.acked_in(self._connection.post(f"/ack/{refs[0]}", self._mine("reader")))
        found = Acked([], [])
        for at in range(0, len(refs), 1000):
            part = reading.acked_in(
                self._connection.post("/ack", {**self._mine("reader"), "ids": refs[at : at + 1000]})
            )
            found = Acked(found.new + part.new, found.already + part.already)
        return found

    def ack_through(self, message: Ref) -> Acked:
        """Say that I am done with every message up to this one."""
        return reading.acked_in(
            self._connection.post("/ack", {**self._mine("reader"), "through": reading.ref(message)})
        )

    def star(self, message: Ref, starred: bool | None = None, *, key: str | None = None) -> bool:
        """Star a message for me, or take the star away; left out, `starred` is the other of what it
        is now. Return whether it is starred then. What has a `key` is done once. Raises NotFound.
        """
        said = {"reader": self.name, "starred": starred, "client_id": key or new_key()}
        fields = {name: value for name, value in said.items() if value is not None}
        answer = self._connection.post(f"/star/{reading.ref(message)}", fields)
        return answer.get("starred") is True

    def drain(
        self, handle: Callable[[Message], object], *, limit: int | None = None, **filters: Any
    ) -> Drained:
        """Hand each unread message to `handle`, then ack it. At least once: after a crash the last
        one comes again.

        An exception of the handler leaves its message unread, and the rest goes on. Filters as in
        `messages`.
        """
        done, failed = 0, []
        for message in self.unread(limit, **filters):
            try:
                handle(message)
            except Exception as error:
                logger.warning("message %s was not handled: %r", message.id, error)
                failed.append((message, error))
            else:
                self.ack(message)
                done += 1
        return Drained(done, failed)

    def me(self) -> dict[str, Any]:
        """Return who the hub takes me for: `{"name":…,"role":"member","verified":true}`."""
        return self._connection.get("/api/me")

    # -- others --------------------------------------------------------------------------

    @property
    def agents(self) -> Agents:
        """Who is there, and the lease on my own name: `bus.agents.roster(state="live")`."""
        from busclient._agents.agents import Agents  # noqa: PLC0415

        return Agents(self._connection)

    @property
    def topics(self) -> Topics:
        """What I subscribe to, and which topics there are."""
        from busclient._agents.topics import Topics  # noqa: PLC0415

        return Topics(self._connection)

    def lease(
        self,
        *paths: str,
        repo: str,
        ttl_s: float | None = None,
        exclusive: bool = True,
        reason: str | None = None,
    ) -> FileLease:
        """Say that I work on these paths or patterns of a repository; the same again prolongs it.
        Raises FileLeaseHeld.
        """
        more = {"ttl_s": ttl_s, "exclusive": exclusive, "reason": reason}
        return self._file_leases().take(repo, paths, **more)

    def leases(self, *, repo: str | None = None, holder: str | None = None) -> list[FileLease]:
        """Return who works on which files."""
        return list(self._file_leases().all(repo, holder))

    def renew_lease(self, lease: FileLease | str, ttl_s: float | None = None) -> FileLease:
        """Prolong a lease of mine from now on. Raises NotFound if it has ended."""
        return self._file_leases().change(lease, "renew", ttl_s=ttl_s)

    def unlease(self, lease: FileLease | str, *, reason: str | None = None) -> FileLease:
        """End a lease of mine; an admin ends any, and its holder is told. Raises NotFound."""
        return self._file_leases().change(lease, "release", reason=reason)

    def lease_check(self, *paths: str, repo: str) -> dict[str, FileLease]:
        """Return those of the paths that others hold exclusively, each with a lease on it."""
        return self._file_leases().held(repo, paths)

    def _file_leases(self) -> FileLeases:
        from busclient._agents.file_leases import FileLeases  # noqa: PLC0415

        return FileLeases(self._connection)

    def checkup(self, *, stale_h: float | None = None, limit: int | None = None) -> Checkup:
        """Return what is stuck: at most `limit` of each kind (20); an action in progress is without
        news after `stale_h` hours (48).
        """
        from busclient._agents import checkup  # noqa: PLC0415

        return checkup.look(self._connection, stale_h, limit)

    def checkup_text(self, *, stale_h: float | None = None, limit: int | None = None) -> str:
        """Return the same as text that a person reads in ten seconds, with 3 of each kind."""
        from busclient._agents import checkup  # noqa: PLC0415

        return checkup.look_as_text(self._connection, stale_h, limit)

    @property
    def net(self) -> Net:
        """Commands and files in other machines: `bus.net.exec("db1", "uptime")`."""
        from busclient._net.net import Net  # noqa: PLC0415

        return Net(self.settings, self._calls, self._connection.call, self._sleep)

    @property
    def admin(self) -> Admin:
        """What admins decide: permissions, approvals, containers, credentials.

        And a new secret for oneself.
        """
        from busclient._net.admin import Admin  # noqa: PLC0415

        return Admin(self.settings, self._calls, self._connection.call, self._sleep)

    # -- the connection --------------------------------------------------------------------------

    def without_outbox(self) -> Bus:
        """Return the same connection for posts that fail, and do not wait, if the hub is away."""
        twin = copy(self)
        twin._connection = Connection(self.settings, self._calls, None)
        twin._connection.start_hub = self._connection.start_hub
        twin._connection.away_hint = self._connection.away_hint
        return twin

    def tell_when_slow(self, tell: Callable[[str], None]) -> None:
        """Call `tell`, once and from another thread, when the hub is late with an answer that it
        should give at once.
        """
        self._calls.on_slow = tell

    def close(self) -> None:
        """Close the connection."""
        self._calls.close()

    def __enter__(self) -> Bus:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
