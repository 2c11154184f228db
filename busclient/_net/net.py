"""`bus.net`: commands and files in other machines, and what happened in the fleet.

`docs/net.md` is the hub's side.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from busclient._errors import Conflict, TooLarge, Unavailable, Unreachable
from busclient._http.calls import new_key
from busclient._net.forms import (
    Approval,
    Call,
    FileFacts,
    Permission,
    RemoteFile,
    Result,
    Verdict,
    decoded,
    encoded,
    file_facts,
    shaped,
)
from busclient._net.part import Part, in_path, listed, unavailable
from busclient._net.part import given as _given
from busclient._net.running import Running, finished, lines_of

if TYPE_CHECKING:
    from busclient._net.fleet_forms import Event, Events, Machines

Command = str | Sequence[str]


class How(TypedDict, total=False):
    """How a command is run. All of it may be left out.

    `timeout_s` is 30 unless given, at most 3,600; `cwd` an absolute path, the user's home unless
    given; `user` one of the target's; `key` the idempotency key, made up unless given; in the
    `thread` of a message (its id or seq) the hub posts the result.
    """

    timeout_s: float
    cwd: str | None
    user: str | None
    env: Mapping[str, str] | None
    stdin: bytes | str | None
    key: str | None
    thread: str | int | None


_TIMEOUT_S = 30.0  # the hub's, where none is given
_GRACE_S = 60.0  # how much longer than its time-out a command is waited for
_IDLE_S = 40.0  # the hub gives a sign of life every 15
_FOLLOW_S = 2.0


class Net(Part):
    """Get it as `bus.net`. Every call raises BusError; NotPermitted until an admin has granted it.

    `target` is a container or a machine. A command is text for bash, or a list of words that is run
    without a shell. With `wait_for_approval_s` a call that needs an admin's yes waits for it so
    long and is then made; without, it raises ApprovalRequired. Calls that do something have an
    idempotency key, so that a retry never does it twice; with a `key` of one's own that holds over
    restarts of the caller too.
    """

    # -- commands --------------------------------------------------------------------------------

    def exec(
        self, target: str, command: Command, *, wait_for_approval_s: float = 0, **how: Unpack[How]
    ) -> Result:
        """Run a command and give back how it ended, with its output (the first MiB of each stream).

        Once, whatever happens on the way: when the connection breaks it runs on, and is asked for
        again. Raises OutcomeUnknown when the hub died meanwhile and nobody can say how it ended.
        """
        fields = self._command(target, command, how)
        runs_s = how.get("timeout_s", _TIMEOUT_S)
        reply = self._insisting(
            lambda: self._post("/api/exec", fields, wait_s=runs_s),
            runs_s=runs_s + _GRACE_S,
            approval_s=wait_for_approval_s,
        )
        return finished(Result.from_json(reply), reply.get("state"))

    def exec_stream(
        self, target: str, command: Command, *, wait_for_approval_s: float = 0, **how: Unpack[How]
    ) -> Running:
        """Run a command and iterate over its output as it comes, uncut; hanging up ends it.

        with bus.net.exec_stream("db1", "tail -f /var/log/syslog", timeout_s=600) as running:
            for chunk in running:
                print(chunk.stream, chunk.data)
        """
        fields = {**self._command(target, command, how), "stream": True}
        return self._insisting(
            lambda: self._calling(lambda: self._calls.retrying(lambda _: self._begin(fields))),
            runs_s=how.get("timeout_s", _TIMEOUT_S) + _GRACE_S,
            approval_s=wait_for_approval_s,
        )

    def exec_detached(
        self, target: str, command: Command, *, wait_for_approval_s: float = 0, **how: Unpack[How]
    ) -> str:
        """Start a command and give its id: `call` and `wait_for_call` take it.

        A message from `bus` comes when it has ended.
        """
        fields = {**self._command(target, command, how), "detach": True}
        reply = self._insisting(
            lambda: self._post("/api/exec", fields), approval_s=wait_for_approval_s
        )
        with shaped("a call"):
            return str(reply["id"])

    def call(self, id: str) -> Call:
        """Return how a call is; raises NotFound for those of others."""
        return Call.from_json(self._get(f"/api/exec/{in_path(id)}"))

    def stdout(self, id: str) -> bytes:
        """Return the standard output of a command, as far as it is kept; raises NotFound."""
        path = f"/api/exec/{in_path(id)}/stdout"
        return self._calling(lambda: self._calls.send("GET", path)).content

    def wait_for_call(self, id: str, timeout_s: float) -> Call:
        """Return how a call is once it has ended, or when the time is over."""
        ends, pause = time.monotonic() + timeout_s, 0.2
        while True:
            call = self.call(id)
            if call.state != "running" or time.monotonic() + pause > ends:
                return call
            self._sleep(pause)
            pause = min(pause * 1.5, 2.0)

    def end_call(self, id: str) -> bool:
        """End a call that runs, with its whole tree of processes; False when it had ended."""
        path = f"/api/exec/{in_path(id)}"
        return bool(self._calling(lambda: self._calls.json("DELETE", path)).get("ended"))

    # -- files -----------------------------------------------------------------------------------

    def read_file(
        self,
        target: str,
        path: str,
        *,
        offset: int | None = None,
        limit: int | None = None,
        wait_for_approval_s: float = 0,
    ) -> RemoteFile:
        """Return a file with its content, or with `limit` bytes of it from `offset` on.

        `path` is absolute, inside the target.
        """
        fields = self._fields(target=target, path=path, offset=offset, limit=limit)
        reply = self._insisting(
            lambda: self._post("/api/file/read", fields), approval_s=wait_for_approval_s
        )
        with shaped("a file"):
            content = decoded(reply["content"], reply.get("encoding"))
            return RemoteFile(
                **file_facts(target, path, reply),
                content=content,
                offset=int(reply.get("offset") or 0),
            )

    def file_parts(
        self, target: str, path: str, *, wait_for_approval_s: float = 0
    ) -> Iterator[RemoteFile]:
        """Yield a file in parts that follow each other: one part, or as many as a file needs that
        is too large to be read whole.

        Raises Conflict when it has become shorter meanwhile; what else changes between two parts
        does not show.
        """
        try:
            yield self.read_file(target, path, wait_for_approval_s=wait_for_approval_s)
            return
        except TooLarge as error:
            size, step = error.details.get("size"), error.details.get("limit")
            if not isinstance(size, int) or not isinstance(step, int) or step < 1:
                raise
        for offset in range(0, size, step):
            limit = min(step, size - offset)
            part = self.read_file(
                target, path, offset=offset, limit=limit, wait_for_approval_s=wait_for_approval_s
            )
            if len(part.content) != limit:
                raise Conflict(f"{path} in {target} has become shorter while it was read.")
            yield part

    def write_file(
        self,
        target: str,
        path: str,
        content: bytes | str,
        *,
        mode: str | None = None,
        uid: int | None = None,
        gid: int | None = None,
        create_dirs: bool = False,
        if_sha256: str | None = None,
        key: str | None = None,
        wait_for_approval_s: float = 0,
    ) -> FileFacts:
        """Write a file, whole or not at all. `mode` is octal text such as "0644".

        With `if_sha256` only over a file with that content, with "" only where there is none; else
        raises FileChanged.
        """
        text, encoding = encoded(content)
        given = {
            "mode": mode,
            "uid": uid,
            "gid": gid,
            "create_dirs": create_dirs or None,
            "if_sha256": if_sha256,
        }
        fields = self._fields(
            target=target,
            path=path,
            content=text,
            encoding=encoding,
            client_id=key or new_key(),
            **given,
        )
        reply = self._insisting(
            lambda: self._post("/api/file/write", fields),
            runs_s=_GRACE_S,
            approval_s=wait_for_approval_s,
        )
        return FileFacts(**file_facts(target, path, reply))

    # -- looking ---------------------------------------------------------------------------------

    def machines(self) -> Machines:
        """Return every name that the hub knows, containers and machines."""
        from busclient._net.fleet_forms import Machine, Machines  # noqa: PLC0415  8 ms that `bus exec` need not spend

        found = self._get("/api/machines")
        return Machines(
            [Machine.from_json(fields) for fields in listed(found, "machines")], unavailable(found)
        )

    def permissions(
        self, *, source: str | None = None, target: str | None = None
    ) -> list[Permission]:
        """Return the permissions that hold; for those who are no admins, the ones that concern
        them.
        """
        found = self._get("/api/permissions", _given({"source": source, "target": target}))
        return [Permission.from_json(fields) for fields in listed(found, "permissions")]

    def check_permission(
        self, target: str, action: str, *, source: str | None = None, command: str | None = None
    ) -> Verdict:
        """Return whether a call would be allowed: `action` is exec, file_read or file_write.

        `source` is for admins; else it is me.
        """
        query = _given({"source": source, "target": target, "action": action, "command": command})
        found = self._get("/api/permissions/check", query)
        with shaped("a verdict"):
            rule = found["rule"]
            return Verdict(
                bool(found["allowed"]),
                str(found["reason"]),
                None if rule is None else Permission.from_json(rule),
            )

    def approvals(self, *, state: str | None = None, sender: str | None = None) -> list[Approval]:
        """Return the questions of the last day, newest last: mine, for admins all, or those of the
        machine `sender`.

        `state` is one of those of Approval.
        """
        found = self._get("/api/approvals", _given({"state": state, "from": sender}))
        return [Approval.from_json(fields) for fields in listed(found, "approvals")]

    def activity(
        self,
        *,
        hours: float | None = None,
        sender: str | None = None,
        target: str | None = None,
        type: str | None = None,
        since: int | None = None,
        before: int | None = None,
        limit: int | None = None,
    ) -> list[Event]:
        """Return what happened, newest last: the newest of the last day, or with `since` (a seq)
        what came after. At most 500.

        `before` is a seq, too: that of the oldest event of one page gives the page before it.
        `all_activity` has all of them.
        """
        query = {
            "hours": hours,
            "from": sender,
            "target": target,
            "type": type,
            "since": since,
            "before": before,
            "limit": limit,
        }
        return self._events(query)[0]

    def activity_page(self, **filters: Any) -> Events:
        """Return what `activity` gives with these filters, and whether there is more."""
        from busclient._net.fleet_forms import Events  # noqa: PLC0415

        found, _, has_more = self._events(_feed_query(filters))
        return Events(found, has_more)

    def all_activity(self, **filters: Any) -> Iterator[Event]:
        """Yield all that `activity` finds with these filters, oldest first, however much; of the
        last day unless said.
        """
        if filters.get("since") is None:
            filters |= {"since": 0, "hours": filters.get("hours") or 24}
        query, has_more = _feed_query({**filters, "limit": 500}), True
        while has_more:
            events, cursor, has_more = self._events(query)
            query["since"] = cursor
            yield from events

    def follow_activity(self, **filters: Any) -> Iterator[Event]:
        """Yield what happens, as it happens, for ever; first what `activity` gives with these
        filters. Goes on after a break.

        Raises only when the first call fails, or when the hub refuses.
        """
        query = _feed_query(filters)
        events, cursor, has_more = self._events(query)
        has_more = has_more and query.get("since") is not None
        while True:
            yield from events
            if not has_more:
                self._sleep(_FOLLOW_S)
            try:
                events, cursor, has_more = self._events({**query, "since": cursor})
            except (Unreachable, Unavailable):
                events, has_more = [], False

    def _events(self, query: Mapping[str, Any]) -> tuple[list[Event], int, bool]:
        from busclient._net.fleet_forms import Event  # noqa: PLC0415

        found = self._get("/api/activity", _given(query))
        events = [Event.from_json(fields) for fields in listed(found, "events")]
        with shaped("a page of events"):
            return events, int(found["next"]), bool(found["has_more"])

    def _command(self, target: str, command: Command, how: How) -> dict[str, Any]:
        """Return the fields of an exec, always with an idempotency key."""
        given: dict[str, Any] = {**how}
        stdin, key = given.pop("stdin", None), given.pop("key", None)
        if stdin:
            given["stdin"], given["stdin_encoding"] = encoded(stdin)
        given |= {"command": command} if isinstance(command, str) else {"argv": list(command)}
        return self._fields(target=target, client_id=key or new_key(), **given)

    def _begin(self, fields: Mapping[str, Any]) -> Running:
        accept = {"Accept": "application/x-ndjson, application/json"}
        chunks = self._calls.stream(
            "/api/exec", idle_s=_IDLE_S, method="POST", json=fields, headers=accept
        )
        return Running(lines_of(chunks), lambda id: self.wait_for_call(id, _GRACE_S), self.end_call)


def _feed_query(filters: Mapping[str, Any]) -> dict[str, Any]:
    return {"from" if name == "sender" else name: value for name, value in filters.items()}
