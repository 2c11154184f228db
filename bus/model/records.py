"""The shape of a record and of its line in the log. Pure: no I/O here.

A line is one JSON object in ASCII, ending in a newline:

    {"seq":412,"id":"01K…","ts":"2026-11-20T20:14:27.123Z","kind":"message",…,"sum":"1c291ca3-9f2c51d0c3a1e2b4"}

`sum` is always the last key. Its second half is 16 hex digits of SHA-256 over the sum of the line
before and the bytes before `,"sum"`, by which a lost, swapped or replaced line shows. The first is
a CRC-32 over those bytes and the second half, by which a line proves itself: a changed byte
anywhere in it is its own damage. A line without a record (`is_filler`) stands where torn bytes
stood.

To change this format: add a key (readers keep what they do not know) or raise
`bus.index.building.SCHEMA` when the index must read old lines anew. The meaning of `seq`, `kind`
and `sum` does not change.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256
from os import urandom
from typing import Any, NamedTuple

import orjson

# A record is open: a reader keeps the keys that it does not know. `Fields` are those of a record to
# be, which has no seq, id and ts yet.
Record = dict[str, Any]
Fields = dict[str, Any]

# Of the records that a log may hold; `damaged` stands for a line that cannot be read. A new kind is
# added here.
KINDS = (
    *("message", "ack", "credential", "refused", "permission"),
    *("call_started", "call_ended", "call_reaped"),
    *("approval_asked", "approval_answered", "approval_used", "segment", "damaged"),
    *("agent_joined", "agent_changed", "agent_left"),
    *("message_retracted", "deadline_passed", "topic_subscribed", "topic_unsubscribed"),
    *("role_claimed", "role_released", "role_given"),
    *("webhook_set", "webhook_removed", "webhook_progress"),
    *("files_leased", "files_released", "action_changed", "message_starred"),
    "signature_set",
    *("expectation_set", "expectation_ended", "expectation_declined"),
    *("silence_begun", "silence_over", "escalation_set", "escalated"),
)
# What older versions called them. Such lines are in logs for ever; only `decode` knows.
_OLD_KINDS = {
    "grant": "permission",
    "asked": "call_started",
    "done": "call_ended",
    "reaped": "call_reaped",
    "question": "approval_asked",
    "answer": "approval_answered",
    "used": "approval_used",
}
FIRST_SUM = "0" * 8 + "-" + "0" * 16
_SUM_BYTES = len(f',"sum":"{FIRST_SUM}"}}')
_FILLER = b'{"kind":"torn"'

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}(/[A-Za-z0-9][A-Za-z0-9._-]{0,63})?")
EVERYBODY = "any"
HUB = "bus"  # the sender of what the hub itself says

# Records of which there is one for each of these: what several processes may try to do at once.
_COMPETED_FOR = {
    "agent_joined": ("prior", "name"),
    "message_retracted": ("message",),
    "deadline_passed": ("message",),
    "role_given": ("prior", "role"),
    "files_leased": ("prior", "repo"),
    "silence_begun": ("prior", "expectation"),
    "silence_over": ("prior", "expectation"),
    "escalation_set": ("prior",),
    "escalated": ("case", "step"),
}
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_BYTE_TO_LETTER = bytes(ord(_CROCKFORD[byte & 31]) for byte in range(256))
_AT_ONCE = 64

# ensure_ascii: U+2028 and friends split lines in some readers, and lone surrogates could not be
# written.
_encode = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode


class Position(NamedTuple):
    """A place between two records: `seq` is the last record before it, `token` the log engine's
    own.
    """

    seq: int
    token: str


START = Position(0, "")


class Damaged(ValueError):
    """A line that is not what was written; the text says what is wrong with it."""


def utc(seconds: float) -> str:
    """ISO 8601 in UTC with milliseconds and Z, for a Unix time in seconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")[:23] + "Z"


def iso(ms: int | None) -> str | None:
    """Return the same for Unix milliseconds; None stays None."""
    return None if ms is None else utc(ms / 1000)


def unix_ms(ts: str) -> int:
    """Milliseconds since 1970 of a `ts`."""
    return round(datetime.fromisoformat(ts).timestamp() * 1000)


def new_ids(seconds: float) -> Iterator[str]:
    """ULIDs of this time without end: 26 characters, unique, easy to say. They order nothing here;
    `seq` does.

    The form is https://github.com/ulid/spec: 48 bits of milliseconds and 80 random ones, in
    Crockford's base 32. Ours, because the library took half of what saving a message in a batch
    costs (14 of 27 µs, 2026-11-20).
    """
    ms = int(seconds * 1000)
    time_part = "".join(_CROCKFORD[ms >> shift & 31] for shift in range(45, -1, -5))
    count = 1
    while True:
        letters = urandom(16 * count).translate(_BYTE_TO_LETTER).decode()  # five random bits each
        for at in range(0, 16 * count, 16):
            yield time_part + letters[at : at + 16]
        count = _AT_ONCE


def encode(record: Record, previous_sum: str) -> tuple[bytes, str]:
    """Return the line of a record, newline included, and its sum."""
    body = _encoded(record)[:-1]
    total = _sum(body, previous_sum)
    return b'%s,"sum":"%s"}\n' % (body, total.encode()), total


def _encoded(record: Record) -> bytes:
    """Return the record as one JSON object in ASCII; by the faster encoder where all of it is ASCII
    anyway.
    """
    try:
        text = orjson.dumps(record)
    except TypeError:  # a lone surrogate, a number of more than 64 bits
        return _encode(record).encode("ascii")
    return text if text.isascii() else _encode(record).encode("ascii")


def decode(line: bytes) -> Record:
    """Return the record of a line (without its newline), its `sum` included; raises Damaged.

    Its kind has the name that it has today, whatever the line says.
    """
    body, tail = line[:-_SUM_BYTES], line[-_SUM_BYTES:]
    if not tail.startswith(b',"sum":"') or not tail.endswith(b'"}'):
        raise Damaged("it does not end in a sum")
    if tail[8:16] != b"%08x" % zlib.crc32(tail[16:-2], zlib.crc32(body)):
        raise Damaged("its bytes do not match its sum")
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise Damaged(f"it is not JSON: {error}") from None
    if not isinstance(record.get("seq"), int) or not isinstance(record.get("kind"), str):
        raise Damaged("it has no seq or no kind")
    record["kind"] = _OLD_KINDS.get(record["kind"], record["kind"])
    return record  # type: ignore[no-any-return]


def first_of(lines: Iterable[bytes]) -> Record | None:
    """Return the record of the first good line."""
    for line in lines:
        with suppress(Damaged):
            if not is_filler(line):
                return decode(line)
    return None


def follows(line: bytes, previous_sum: str) -> bool:
    """Return whether this line was written right after the line with that sum."""
    return line[-_SUM_BYTES + 8 : -2].decode("ascii", "replace") == _sum(
        line[:-_SUM_BYTES], previous_sum
    )


def sum_of(line: bytes) -> str:
    """Return the sum that a good line carries."""
    return line[-_SUM_BYTES + 8 : -2].decode("ascii")


def filler(length: int, reason: str) -> bytes:
    """Return a valid line of exactly `length` bytes to stand where torn bytes stood, so that the
    file never shrinks.

    Short ones are blank, which every JSON reader skips.
    """
    text = _encode({"kind": "torn", "bytes": length, "reason": reason})[:-1].encode("ascii")
    for candidate in (text, _FILLER):
        if length >= len(candidate) + 2:
            return candidate + b" " * (length - len(candidate) - 2) + b"}\n"
    return b" " * (length - 1) + b"\n"


def seq_at_start(line: bytes) -> int:
    """Return the seq that a line begins with, or 0; a glance for those who look for few lines among
    many, no proof.
    """
    digits = line[7 : line.find(b",", 7)]
    return int(digits) if line.startswith(b'{"seq":') and digits.isdigit() else 0


def is_filler(line: bytes) -> bool:
    """Return whether this line (without its newline) holds no record: blank, or the mark of torn
    bytes.
    """
    return line.startswith(_FILLER) or not line.strip(b" ")


def unique_key(record: Record) -> str | None:
    """Return what no two records share; None without such a thing.

    For a message, who sent it under which idempotency key; for a call, whose credential asked for
    it under which, and at which attempt (where those before have done nothing); for the use of an
    approval, the approval; for a lease, the name and the record that set it free; for one of files,
    the repository and the record before it; for a silence, the expectation and the record before;
    for what ends a message, the message; for what is said to an ask, the ask and the word before
    it; for the result of a call, the call; for a star, its idempotency key, or the star before it
    of the same reader. No credential's name begins with a space, and no key has a line end, so none
    of them can meet. Nor has a name an @: behind it is the tenure, so that whoever is given a name
    anew meets no key of who had it before.
    """
    if record["kind"] in _COMPETED_FOR:
        about = (str(record[name]) for name in _COMPETED_FOR[record["kind"]])
        return " ".join(["", record["kind"], *about])
    is_message = record["kind"] == "message"
    if record["kind"] == "message_starred":
        return _star_key(record)
    if record["kind"] == "action_changed" or (is_message and "prior" in record):
        return _word_key(record)
    if is_message and "call" in record:
        return f" cited {record['call']['id']}"
    key = record.get("client_id")
    return None if key is None else _key_of(record, key)


def _key_of(record: Record, key: str) -> str:
    """Return what no two records with an idempotency key share."""
    if record["kind"] == "approval_used":
        return f" used {key}"
    if record["kind"] == "permission":
        return f" permission {record['auth']} {key}"
    auth = f"{record['auth']}@{record['tenure']}" if "tenure" in record else record["auth"]
    if record["kind"] == "message":
        return f"{auth} {record['from']} {key}"
    attempt = record.get("attempt", 0)
    return f" call {auth} {key}" + (f"\n{attempt}" if attempt else "")


def _star_key(record: Record) -> str:
    """Return the key of a star: without an idempotency key, one reader has one at a time."""
    reader, key = record["reader"], record.get("client_id")
    if key is None:
        return f" starred {reader} {record['prior']}"
    auth = f"{record['auth']}@{record['tenure']}" if "tenure" in record else record["auth"]
    return f" star {auth} {reader} {key}"


def _word_key(record: Record) -> str:
    """Return the key of what is said to an ask or changes an action: it has one word before it."""
    if "answer" in record:
        return f" said {record['answer']['ask']} {record['prior']}"
    mark = record["action"] if record["kind"] == "message" else record
    return f" action {mark['message']} {mark['at']} {record['prior']}"


def _sum(body: bytes, previous_sum: str) -> str:
    chain = "-" + sha256(previous_sum.encode() + body).hexdigest()[:16]
    return f"{zlib.crc32(chain.encode(), zlib.crc32(body)):08x}{chain}"
