"""What the log says of credentials: changes, refusals, and which holder of a name a record
is from.
"""

from __future__ import annotations

from bus.errors import Unavailable
from bus.hub.daily_quotas import DailyQuotas
from bus.hub.journal import Journal
from bus.index import names, tenures
from bus.model import records
from bus.model.caller import Caller
from bus.model.records import Fields, Record


class CredentialRecords:
    """Records changes to the credentials, which are in a file of their own. Never a secret."""

    def __init__(self, journal: Journal, daily: DailyQuotas | None) -> None:
        self._journal, self._daily = journal, daily

    def note_change(
        self, action: str, name: str, role: str, by: str, expires: int | None = None
    ) -> None:
        """Record a change: add, rotate, revoke, invite (until `expires`, seconds since 1970), join
        or replace.
        """
        change = {"kind": "credential", "action": action, "name": name, "role": role}
        until = {} if expires is None else {"expires": records.utc(expires)}
        self._journal.append_soon([{**change, "by": by, "auth": by, **until}])

    def note_refused(self, fields: Fields) -> None:
        """Record that a change to the credentials, or a sign-in, was refused."""
        self._journal.append_soon([{"kind": "refused", **fields}])

    def machine_names(self) -> list[str]:
        """Return the names that machines have or had, as far as the log tells; raises
        Rebuilding.
        """
        with self._journal.index.reading() as db:
            return names.machines(db)

    def use_name(self, caller: Caller, name: str) -> None:
        """Count that a caller reads under a name; raises OverQuota for one new name too
        many today.
        """
        if self._daily is not None:
            self._daily.use_name(caller.name, name)

    def is_over(self, record: Record) -> bool:
        """Return whether the credential behind a record was revoked since, or its name given to
        another.
        """
        with self._journal.current() as db:
            return tenures.is_over(db, record)

    def last_tenure(self) -> int:
        """Return the newest tenure of any name: it grows when a credential is revoked."""
        with self._journal.index.reading() as db:
            return tenures.last_tenure(db)

    def tenure_of(self, name: str) -> int | None:
        """Return which holder of a name, one after the other, has it now (see `Caller.tenure`);
        None: not known.
        """
        try:
            with self._journal.current() as db:
                return tenures.tenure(db, name)
        except Unavailable:
            return None
