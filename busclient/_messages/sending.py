"""Posts on the wire: one message, or a block of them as NDJSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from busclient._codes import error_from
from busclient._errors import BadAnswer, BusError, Refused, TooLarge
from busclient._http.calls import Calls, new_key
from busclient._messages.message import Message, Posted

Draft = dict[str, Any]
MAX_BODY, MAX_DATA = 64 * 1024, 8 * 1024  # bytes; the hub's, which a test compares


def draft(sender: str, body: str, to: str | Sequence[str], more: Mapping[str, Any]) -> Draft:
    """Return the fields of a post as the hub takes them, with an idempotency key of its own unless
    `more` gives one.
    """
    given = {name: value for name, value in more.items() if value not in (None, ())}
    if "tags" in given:
        given["tags"] = [given["tags"]] if isinstance(given["tags"], str) else list(given["tags"])
    names = to if isinstance(to, str) else list(to)
    return checked({"from": sender, "to": names, "body": body, "client_id": new_key(), **given})


def quoting(original: Message, comment: str) -> str:
    """Return a comment with a message quoted below it."""
    quoted = "\n".join(f"> {line}" for line in original.body.removesuffix("\n").split("\n"))
    return f"{comment}\n\n{original.seq} from {original.signed}:\n{quoted}"


def checked(fields: Draft) -> Draft:
    """Return the same fields; raises Refused when they cannot be written as JSON, which has no NaN
    and no infinity.
    """
    try:
        json.dumps(fields, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise Refused(
            f"The message cannot be written as JSON: {error}.",
            hint="Numbers must be finite, keys text.",
        ) from None
    return fields


def check_size(fields: Draft, why: str) -> None:
    """Raise TooLarge when a hub would not take this message, which cannot be asked now: it must not
    wait for a refusal.
    """
    sizes = {
        "body": _size(str(fields["body"])),
        "data": _size(json.dumps(fields.get("data") or {})),
    }
    for name, limit in (("body", MAX_BODY), ("data", MAX_DATA)):
        if sizes[name] > limit:
            raise TooLarge(
                f"`{name}` is {sizes[name]} bytes; at most {limit} are allowed.",
                code="too_large",
                hint=(
                    f"It is neither sent nor kept ({why.rstrip('.')}). Post where the text can be"
                    " found."
                ),
                details={"size": sizes[name], "limit": limit},
            )


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def post(calls: Calls, fields: Draft) -> Posted:
    """Post one message; raises BusError."""
    reply = calls.json("POST", "/post", json=fields)
    return posted(fields["client_id"], reply)


def post_block(calls: Calls, drafts: Sequence[Draft]) -> list[Posted | BusError]:
    """Post up to 1,000 messages in one request; one outcome for each, in order.

    Raises BusError when none was looked at.
    """
    body = "".join(json.dumps(fields) + "\n" for fields in drafts).encode()
    reply = calls.send(
        "POST", "/post", data=body, headers={"Content-Type": "application/x-ndjson"}, also=(400,)
    )
    if not reply.header("Content-Type").startswith("application/x-ndjson"):
        raise error_from(reply.status, _json(reply.content))
    results = [_json(line) for line in reply.content.split(b"\n") if line.strip()]
    if len(results) != len(drafts):
        raise BadAnswer(f"The hub answered {len(results)} results for {len(drafts)} messages.")
    return [
        (
            posted(fields.get("client_id", ""), result)
            if isinstance(result, dict) and result.get("ok")
            else error_from(_status(result), result)
        )
        for fields, result in zip(drafts, results, strict=True)
    ]


def posted(key: str, reply: Mapping[str, Any]) -> Posted:
    """Return what a good answer to a post says."""
    delivery = reply.get("delivery")
    recipients, warnings = reply.get("recipients"), reply.get("warnings")
    return Posted(
        key,
        Message.from_json(reply),
        bool(reply.get("replayed")),
        delivery if isinstance(delivery, dict) else {},
        recipients if isinstance(recipients, list) else (),
        warnings if isinstance(warnings, list) else (),
    )


def _status(result: Any) -> int:
    status = result.get("status") if isinstance(result, dict) else None
    return status if isinstance(status, int) else 500


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return None
