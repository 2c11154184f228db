"""Calls, permissions, approvals and changes of credentials: what their records do to the index, and
questions about them.

The kinds of record, each with `seq`, `ts` and `auth` (the credential that made it):

    asked     call, type, from, target, digest, what is shown (command|argv|path), client_id?, attempt?, approval?, detach?
    done      call, result (ok|denied|error|unknown), state, and facts: exitCode, duration_ms, sizes, sha256, error
              and `unreached`: its target could not be reached to end what was left of it
    reaped    call, leaked: what was left of such a call is ended now
    grant     source, target, allow (null: removed), actions, commands?, approval?, expires?
    question  approval, call fields as in asked, expires: an admin is asked
    answer    approval, allow, expires
    used      approval: its one call was made
    credential  action, name, role, by
    refused   from, target, command, error, left_out?: a change to the credentials, or a sign-in, that was refused
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from typing import Any, NamedTuple

from bus.index.feed import first_since
from bus.index.settled import LAST
from bus.model import records
from bus.model.caller import INVITE
from bus.model.permissions import Rule
from bus.model.records import Record

_NO_FACTS = ("kind", "seq", "id", "ts", "sum", "auth", "tenure")
_LONGEST_SHOWN = 1_000
_PRIVATE = frozenset(("digest", "client_id", "attempt", "approval", "detach"))


# The errors of calls that had begun and have done nothing. Their idempotency keys are free: the
# same call again is a new one, and its record has the number of the `attempt`, from 1 on.
UNDONE = ("target_busy", "driver_unavailable")


class Found(NamedTuple):
    """A call as the log tells it: the record that asked for it, and the one that it ended with, or
    None.
    """

    asked: Record
    done: Record | None

    @property
    def is_undone(self) -> bool:
        """Whether it has ended and done nothing, so that its key is free."""
        return self.done is not None and self.done.get("error") in UNDONE


class Asked(NamedTuple):
    """A question as the log tells it: its record, that of the answer, and when its one call was
    made.
    """

    question: Record
    answer: Record | None
    used: str | None


# -- applying ------------------------------------------------------------------------------------


def apply(db: sqlite3.Connection, record: Record) -> None:
    """Apply a record of one of these kinds; any other is passed over."""
    kind = record["kind"]
    if kind == "call_started":
        _asked(db, record)
    elif kind == "call_ended":
        _done(db, record)
    elif kind == "call_reaped":
        _reaped(db, record)
    elif kind == "permission":
        _grant(db, record)
    elif kind == "approval_asked":
        db.execute(
            "INSERT OR IGNORE INTO approvals VALUES (?, ?, ?, ?, ?, NULL, NULL)",
            (record["approval"], record["seq"], record["auth"], record["digest"], _json(record)),
        )
        shown: Record = {
            name: record[name]
            for name in ("type", "from", "target", "command", "argv", "path")
            if name in record
        }
        _event(db, record, {"id": record["approval"], **shown, "result": "asked"})
    elif kind == "approval_answered":
        _answered(db, record)
    elif kind == "approval_used":
        db.execute("UPDATE approvals SET used = ? WHERE id = ?", (record["ts"], record["approval"]))
        _keyed(db, record)
    elif kind == "refused":
        facts: dict[str, Any] = {
            name: record[name]
            for name in ("target", "command", "error", "left_out")
            if name in record
        }
        _event(
            db, record, {"from": record["from"], "type": "credential", **facts, "result": "denied"}
        )
    elif kind == "credential":
        _owned(db, record)
        event = {
            "from": record["by"],
            "type": "credential",
            "target": record["name"],
            "command": record["action"],
        }
        _event(db, record, {**event, "role": record["role"], "result": "ok"})


def _answered(db: sqlite3.Connection, record: Record) -> None:
    found = approval(db, record["approval"])
    if found is None or found[1] is not None or is_over(db, found[0]):
        return
    db.execute("UPDATE approvals SET answer = ? WHERE id = ?", (_json(record), record["approval"]))
    said = "approve" if record["allow"] else "refuse"
    event = {
        "from": record["auth"],
        "type": "permit",
        "target": found[0]["target"],
        "source": found[0]["from"],
    }
    _event(db, record, {**event, "command": f"{said} {record['approval']}", "result": "ok"})


def _owned(db: sqlite3.Connection, record: Record) -> None:
    """A name that is revoked ends with all that hung on it; one that is given anew begins with
    nothing of who had it before.

    Two gifts without a revocation between them: the first holder was taken out of the file by hand.
    """
    name, seq, action = record["name"], record["seq"], record["action"]
    row = db.execute("SELECT tenure, held FROM owners WHERE name = ?", (name,)).fetchone()
    tenure, held = row or (0, 0)
    if action == "revoke":
        db.execute("DELETE FROM rules WHERE source = ?", (name,))
        if record["role"] != INVITE:  # else nobody had it yet, and an invite was taken back
            _ended(db, record)
            db.execute("INSERT OR REPLACE INTO owners VALUES (?, ?, ?, 0)", (name, seq, seq))
    elif action in ("add", "join"):
        if held:
            db.execute("DELETE FROM rules WHERE source = ?", (name,))
            _ended(db, record)
        db.execute(
            "INSERT OR REPLACE INTO owners VALUES (?, ?, ?, 1)",
            (name, seq, seq if held else tenure),
        )


def _ended(db: sqlite3.Connection, record: Record) -> None:
    """What a name has asked expires with every answer to it, and so does what it has answered,
    unless it was used before.
    """
    ends = "json_set({0}, '$.expires', min(json_extract({0}, '$.expires'), ?1))"
    db.execute(
        f"UPDATE approvals SET question = {ends.format('question')},"
        f" answer = CASE WHEN answer IS NULL THEN NULL ELSE {ends.format('answer')} END"
        " WHERE auth = ?2 AND used IS NULL",
        (record["ts"], record["name"]),
    )
    db.execute(
        f"UPDATE approvals SET answer = {ends.format('answer')} WHERE json_extract(answer, '$.auth') = ?2 AND used IS NULL",
        (record["ts"], record["name"]),
    )


def _asked(db: sqlite3.Connection, record: Record) -> None:
    db.execute(
        "INSERT OR IGNORE INTO calls VALUES (?, ?, ?, ?, NULL)",
        (record["call"], record["seq"], record["from"], _json(record)),
    )
    _event(db, record, {**_event_of(record), "result": "running"})
    _keyed(db, record)


def _done(db: sqlite3.Connection, record: Record) -> None:
    found = call(db, record["call"])
    if found is None or found.done is not None:
        return
    db.execute("UPDATE calls SET done = ? WHERE id = ?", (_json(record), record["call"]))
    db.execute("DELETE FROM events WHERE seq = ?", (found.asked["seq"],))
    facts = {
        name: value for name, value in record.items() if name not in (*_NO_FACTS, "call", "state")
    }
    event = {**_event_of(found.asked), **facts, "time": found.asked["ts"]}
    # One that ends after its caller was revoked is nobody's: it must not be taken for the next
    # holder's.
    _event(db, {**record, "auth": "" if is_over(db, found.asked) else found.asked["auth"]}, event)


def _reaped(db: sqlite3.Connection, record: Record) -> None:
    found = call(db, record["call"])
    if found is None or found.done is None:
        return
    done = {
        name: value for name, value in found.done.items() if name not in ("unreached", "leaked")
    }
    left = {} if record["leaked"] == 0 else {"leaked": record["leaked"]}
    db.execute("UPDATE calls SET done = ? WHERE id = ?", (_json({**done, **left}), record["call"]))


def _event_of(asked: Record) -> dict[str, Any]:
    shown = {
        name: value
        for name, value in asked.items()
        if name not in (*_NO_FACTS, "call") and name not in _PRIVATE
    }
    return {"id": asked["call"], **shown}


def _grant(db: sqlite3.Connection, record: Record) -> None:
    lasting = int("expires" not in record)
    for action in record["actions"]:
        rule = (record["source"], record["target"], action)
        if lasting:
            db.execute("DELETE FROM rules WHERE source = ? AND target = ? AND action = ?", rule)
        if record["allow"] is None:
            continue  # a removal: what is less specific decides again
        db.execute(
            "INSERT OR REPLACE INTO rules VALUES (?, ?, ?, ?, ?, ?)",
            (*rule, lasting, record["seq"], _json(record)),
        )
    shown: Record = {
        name: record[name]
        for name in ("source", "allow", "actions", "commands", "approval", "expires")
        if name in record
    }
    _event(
        db,
        record,
        {
            "from": record["from"],
            "type": "permit",
            "target": record["target"],
            **shown,
            "result": "ok",
        },
    )


def _event(db: sqlite3.Connection, record: Record, event: dict[str, Any]) -> None:
    shown = {"seq": record["seq"], "id": record["id"], "time": record["ts"], **_brief(event)}
    db.execute(
        "INSERT OR REPLACE INTO events VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            record["seq"],
            records.unix_ms(record["ts"]),
            shown["type"],
            shown["from"],
            record.get("auth", ""),
            shown.get("target") or "",
            json.dumps(shown),
        ),
    )


def _brief(event: dict[str, Any]) -> dict[str, Any]:
    """An event with long commands cut: a feed of a hundred must not be megabytes.

    The call has them whole.
    """
    shown = dict(event)
    for name in ("command", "path"):
        if len(shown.get(name, "")) > _LONGEST_SHOWN:
            shown[name] = shown[name][:_LONGEST_SHOWN] + "…"
    if "argv" in shown and sum(map(len, shown["argv"])) > _LONGEST_SHOWN:
        shown["argv"] = [*(text[: _LONGEST_SHOWN // 8] for text in shown["argv"][:8]), "…"]
    return shown


def _keyed(db: sqlite3.Connection, record: Record) -> None:
    key = records.unique_key(record)
    if key is not None:
        values = (key, record["seq"], record.get("digest", ""), _json(record))
        db.execute("INSERT OR IGNORE INTO unique_keys VALUES (?, ?, ?, ?)", values)


def _json(record: Record) -> str:
    return json.dumps({name: value for name, value in record.items() if name != "sum"})


# -- asking --------------------------------------------------------------------------------------


def call(db: sqlite3.Connection, id: str) -> Found | None:
    """One call."""
    row = db.execute("SELECT asked, done FROM calls WHERE id = ?", (id,)).fetchone()
    return (
        None
        if row is None
        else Found(json.loads(row[0]), None if row[1] is None else json.loads(row[1]))
    )


def unfinished(db: sqlite3.Connection) -> list[Record]:
    """What was asked and has not ended, oldest first."""
    return [
        json.loads(row[0])
        for row in db.execute("SELECT asked FROM calls WHERE done IS NULL ORDER BY seq")
    ]


def unreached(db: sqlite3.Connection) -> list[Record]:
    """What was asked and left something in a target that could not be reached to end it.

    Reads all calls, once at a start.
    """
    found = db.execute(
        "SELECT asked, done FROM calls WHERE done LIKE '%\"unreached\":%' ORDER BY seq"
    )
    return [json.loads(asked) for asked, done in found if "unreached" in json.loads(done)]


def rules(
    db: sqlite3.Connection, now: str, source: str | None = None, target: str | None = None
) -> list[Rule]:
    """The rules that hold at `now` (a time as in records), of these two or a `*` in their place,
    where given.
    """
    found: dict[tuple[str, str, str], Rule] = {}
    ends = [
        (column, value)
        for column, value in (("source", source), ("target", target))
        if value is not None
    ]
    where = " AND ".join(f"{column} IN (?, '*')" for column, _ in ends) or "1"
    for action, text in db.execute(
        f"SELECT action, json FROM rules WHERE {where} ORDER BY source, target, action, lasting",
        [value for _, value in ends],
    ):
        rule = _rule(json.loads(text), action)
        if rule.expires is None or rule.expires > now:
            found.setdefault((rule.source, rule.target, action), rule)
    return list(found.values())


def _rule(record: Record, action: str) -> Rule:
    return Rule(
        source=record["source"],
        target=record["target"],
        action=action,
        allow=record["allow"],
        commands=tuple(tuple(words) for words in record.get("commands", ())),
        approval="approval" in record,
        expires=record.get("expires"),
        by=record["auth"],
        granted=record["ts"],
    )


def approval(db: sqlite3.Connection, id: str) -> Asked | None:
    """A question, its answer, and when it was used."""
    row = db.execute("SELECT question, answer, used FROM approvals WHERE id = ?", (id,)).fetchone()
    return None if row is None else _approval(row)


def owned_since(db: sqlite3.Connection, name: str) -> int:
    """The seq of the record by which this name was last given to somebody; 0 when that is not on
    record.
    """
    row = db.execute("SELECT seq FROM owners WHERE name = ?", (name,)).fetchone()
    return 0 if row is None else int(row[0])


def tenure(db: sqlite3.Connection, name: str) -> int:
    """The seq of the record that ended the last one who had this name; 0 when nobody had it before,
    as far as is on record.
    """
    row = db.execute("SELECT tenure FROM owners WHERE name = ?", (name,)).fetchone()
    return 0 if row is None else int(row[0])


def last_tenure(db: sqlite3.Connection) -> int:
    """The newest tenure of any name."""
    return int(db.execute("SELECT COALESCE(MAX(tenure), 0) FROM owners").fetchone()[0])


def is_over(db: sqlite3.Connection, record: Record) -> bool:
    """Whether the credential that made this record was revoked since, or its name given to another."""
    return tenure(db, record["auth"]) > int(record["seq"])


def pending_count(db: sqlite3.Connection, auth: str, now: str, since: str) -> int:
    """How many questions of a caller, asked since a time, wait for an answer."""
    row = db.execute(
        "SELECT COUNT(*) FROM approvals WHERE auth = ? AND seq >= ? AND answer IS NULL"
        " AND json_extract(question, '$.expires') > ?",
        (auth, _first_question(db, since), now),
    ).fetchone()
    return int(row[0])


def last_approval(db: sqlite3.Connection, auth: str, digest: str) -> Asked | None:
    """The newest question of a caller about one request."""
    row = db.execute(
        "SELECT question, answer, used FROM approvals WHERE auth = ? AND digest = ? ORDER BY seq DESC LIMIT 1",
        (auth, digest),
    ).fetchone()
    return None if row is None else _approval(row)


def approvals(db: sqlite3.Connection, auth: str | None, since: str) -> Iterator[Asked]:
    """The questions that were asked since a time, of one caller or all, newest first."""
    whose = "" if auth is None else "auth = ? AND "
    values = (() if auth is None else (auth,)) + (_first_question(db, since),)
    for row in db.execute(
        f"SELECT question, answer, used FROM approvals WHERE {whose}seq >= ? ORDER BY seq DESC",
        values,
    ):
        yield _approval(row)


def _first_question(db: sqlite3.Connection, since: str) -> int:
    return first_since(db, "approvals", records.unix_ms(since)) or LAST


def _approval(row: tuple[str, str | None, str | None]) -> Asked:
    return Asked(json.loads(row[0]), None if row[1] is None else json.loads(row[1]), row[2])


def last_acts(db: sqlite3.Connection, limit: int) -> dict[str, str]:
    """When each machine, with its sessions, last sent, acknowledged or called something: those that
    did so last.
    """
    rows = db.execute(
        "SELECT substr(name, 1, instr(name || '/', '/') - 1) AS machine, max(ts) FROM agents GROUP BY machine"
        " ORDER BY max(ts) DESC LIMIT ?",
        (limit,),
    )
    return dict(rows)


def last_act(db: sqlite3.Connection, name: str) -> str | None:
    """When a machine, with its sessions, last sent, acknowledged or called something."""
    row = db.execute(
        "SELECT max(ts) FROM agents WHERE name = ? OR (name > ? AND name < ?)",
        (name, name + "/", name + "0"),
    )
    found: str | None = row.fetchone()[0]
    return found
