"""`bus.admin`: what admins decide. `docs/net.md` and `docs/protocol.md` are the hub's side."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from busclient._errors import Conflict, OutcomeUnknown, TargetBusy
from busclient._http.calls import new_key
from busclient._net.figures import Figures
from busclient._net.fleet_forms import Changed, Container, Containers, Credential, Invite, Snapshot
from busclient._net.forms import Approval, Call, Permission, shaped
from busclient._net.part import Part, given, in_path, listed, unavailable

_HOLD_S = 15.0  # the hub answers a container's change after ten, done or not


class Admin(Part):
    """Get it as `bus.admin`.

    For those who are no admins every call but `rotate` of their own raises Forbidden.
    """

    # -- permissions -----------------------------------------------------------------------------

    def permit(
        self,
        source: str,
        target: str,
        *,
        actions: Sequence[str] = (),
        commands: Sequence[str | Sequence[str]] = (),
        needs_approval: bool = False,
        expires_in_s: float | None = None,
    ) -> Permission:
        """Let a machine do something in a target; `*` is any. Replaces what was said of the same
        source, target and action.

        `actions` are exec, file_read and file_write: none given, all three. `commands` are the
        allowed beginnings of commands.
        """
        more = {
            "commands": list(commands) or None,
            "approval": "required" if needs_approval else None,
            "expires_in_s": expires_in_s,
        }
        return self._permission(source, target, True, actions, more)

    def revoke(self, source: str, target: str, *, actions: Sequence[str] = ()) -> Permission:
        """Deny it, from the next call on; what runs already goes on.

        A deny of two names beats an allow of `*`.
        """
        return self._permission(source, target, False, actions, {})

    def remove_permission(
        self, source: str, target: str, *, actions: Sequence[str] = ()
    ) -> tuple[str, ...]:
        """Take back what was allowed or denied, so that what was said of `*` decides again; gives
        the actions that had a rule.
        """
        fields = self._fields(source=source, target=target, actions=list(actions) or None)
        reply = self._post("/api/permit", {**fields, "allow": None})
        with shaped("a permission"):
            return tuple(map(str, reply["permission"]["removed"]))

    def _permission(
        self, source: str, target: str, allow: bool, actions: Sequence[str], more: dict[str, Any]
    ) -> Permission:
        fields = self._fields(
            source=source, target=target, allow=allow, actions=list(actions) or None, **more
        )
        reply = self._post("/api/permit", fields)
        with shaped("a permission"):
            return Permission.from_json(reply["permission"])

    # -- approvals -------------------------------------------------------------------------------

    def approve(
        self, id: str, allow: bool = True, *, expires_in_s: float | None = None
    ) -> Approval:
        """Answer a question. A yes is good for that very call, once, for 15 minutes unless said.

        Raises Conflict when it was answered otherwise, was used or has expired.
        """
        try:
            self._post(
                f"/api/approvals/{in_path(id)}",
                given({"allow": allow, "expires_in_s": expires_in_s}),
            )
        except Conflict as error:  # the answer to a first attempt was lost
            if error.details.get("state") != ("allowed" if allow else "denied"):
                raise
        return self.approval(id)

    def approve_all(
        self, ids: Sequence[str], allow: bool = True, *, expires_in_s: float | None = None
    ) -> list[Approval]:
        """Give one answer to these questions, as far as they still wait; returns them all as they
        are then.

        Answer what was looked at: `bus.net.approvals(state="pending", sender="web1")` lists what
        one machine has asked.
        """
        fields = given({"ids": list(ids), "allow": allow, "expires_in_s": expires_in_s})
        return [
            Approval.from_json(fields)
            for fields in listed(self._post("/api/approvals", fields), "approvals")
        ]

    # -- containers ------------------------------------------------------------------------------

    def containers(self) -> Containers:
        """Return every container that the drivers list."""
        found = self._get("/api/containers")
        return Containers(
            [Container.from_json(fields) for fields in listed(found, "containers")],
            unavailable(found),
        )

    def container(
        self,
        action: str,
        name: str,
        *,
        snapshot: str | None = None,
        force: bool = False,
        timeout_s: float | None = None,
        snapshot_first: bool = True,
        wait_s: float = 600,
    ) -> Changed:
        """Start, stop, snapshot, restore or delete-snapshot, and wait up to `wait_s` until that is
        done. See docs/net.md.

        Raises TargetBusy when its turn did not come, OutcomeUnknown when it is not done in time or
        failed after it began.
        """
        fields = self._fields(
            name=name,
            snapshot=snapshot,
            force=force or None,
            timeout_s=timeout_s,
            snapshot_first=None if snapshot_first else False,
            client_id=new_key(),
        )
        reply = self._insisting(
            lambda: self._post(f"/api/container/{action}", fields, wait_s=_HOLD_S), runs_s=wait_s
        )
        return Changed.from_json(name, self._done(reply, wait_s))

    def snapshots(self, name: str) -> list[Snapshot]:
        """Return the snapshots of a container, oldest first."""
        found = self._get("/api/container/snapshots", {"name": name})
        return [Snapshot.from_json(fields) for fields in listed(found, "snapshots")]

    def delete_snapshot(self, name: str, snapshot: str) -> Changed:
        """Delete the snapshot with this very name; raises NotFound when there is none."""
        return self.container("delete-snapshot", name, snapshot=snapshot)

    def _done(self, reply: dict[str, Any], wait_s: float) -> dict[str, Any]:
        """Return the answer once the change is done."""
        ends, pause = time.monotonic() + wait_s, 0.5
        while reply.get("state") == "running" and time.monotonic() + pause < ends:
            self._sleep(pause)
            pause = min(pause * 1.5, 3.0)
            reply = self._get(f"/api/container/{in_path(str(reply.get('id')))}")
        if reply.get("state") != "done":
            call = Call.from_json(reply)
            if isinstance(call.error, TargetBusy):
                raise call.error
            why = reply.get("message") or f"its state is {call.state!r}"
            raise OutcomeUnknown(
                f"The change {call.id} of the container is not known to be done: {why}",
                details=reply,
            )
        return reply

    # -- figures ---------------------------------------------------------------------------------

    def figures(self) -> Figures:
        """Return what the hub counts and measures. For admins, and watchers."""
        return Figures.from_json(self._get("/metrics", {"format": "json"}))

    # -- notices ---------------------------------------------------------------------------------

    def notices(
        self,
        *,
        state: str | None = None,
        service: str | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> dict[str, Any]:
        """Return what was told to services outside, newest first, as the hub says it: `notices`,
        `has_more`, `services`, `process`.

        `state` is queued, sending, sent or dead; `before` an id.
        """
        wanted = {"state": state, "service": service, "before": before, "limit": limit}
        return self._get("/notices", given(wanted))

    def retry_notice(self, id: int) -> dict[str, Any]:
        """Have a dead letter sent again, and return it; raises NotFound, and Conflict where it is
        not dead.
        """
        with shaped("a notice"):
            return dict(self._post(f"/notices/{int(id)}/retry", {})["notice"])

    # -- credentials -----------------------------------------------------------------------------

    def invite(
        self,
        name: str,
        *,
        admin: bool = False,
        replace: bool = False,
        expires_in_s: float | None = None,
    ) -> Invite:
        """Return a code for one machine, good once and for 24 hours: its `line` makes that machine
        a member (or an admin).

        With `replace` for one that was installed again: it gets a new secret, and its name keeps
        everything else.
        """
        fields = given(
            {
                "name": name,
                "admin": admin or None,
                "replace": replace or None,
                "expires_in_s": expires_in_s,
            }
        )
        return Invite.from_json(self._post_once("/api/invites", fields))

    def credentials(self) -> list[dict[str, Any]]:
        """Return every credential, without secrets, as the hub says it: `name`, `role`, …"""
        return listed(self._get("/api/credentials"), "credentials")

    def invites(self) -> list[dict[str, Any]]:
        """Return every open invite, without codes: `name`, `role`, `expires`."""
        return listed(self._get("/api/credentials"), "invites")

    def add_credential(self, name: str, *, admin: bool = False) -> Credential:
        """Return a credential for a name; `invite` keeps the secret out of other hands."""
        return Credential.from_json(
            self._post_once("/api/credentials", given({"name": name, "admin": admin or None}))
        )

    def rotate(self, name: str | None = None, *, overlap_s: float | None = None) -> Credential:
        """Return a new secret for a name, one's own unless said (that anybody may).

        The old one holds `overlap_s` longer.
        """
        return Credential.from_json(
            self._post_once(
                "/api/credentials/rotate", given({"name": name, "overlap_s": overlap_s})
            )
        )

    def revoke_credential(self, name: str) -> None:
        """Take a name's credential away, and its open invite."""
        self._post("/api/credentials/revoke", {"name": name})
