"""bus post, bus reply, bus forward."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import click

from busclient._cli import exits, kinds
from busclient._cli.output import age, json_option, open_bus, out
from busclient._harmless import one_line
from busclient._messages.message import Posted


@click.command()
@click.argument("to", default="any")
@click.argument("text", required=False)
@click.option(
    "--file",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The text, byte for byte.",
)
@click.option("-t", "--tag", "tags", multiple=True, help="A tag. Repeat the option for several.")
@click.option("--urgent", is_flag=True, help="First in every inbox.")
@click.option("--fyi", is_flag=True, help="Last in every inbox.")
@click.option(
    "--reply-to",
    type=kinds.MESSAGE,
    metavar="ID",
    help="The id or seq of the message this answers.",
)
@click.option("--thread", help="The thread this belongs to.")
@click.option("--data", metavar="JSON", help="A small JSON object besides the text.")
@click.option(
    "--expires",
    "expires_in_s",
    type=kinds.DURATION,
    metavar="TIME",
    help="The message expires after this time.",
)
@click.option(
    "--ack-by",
    "ack_by",
    type=kinds.DURATION,
    metavar="TIME",
    help="Be told who has not acknowledged it after this time.",
)
@click.option(
    "--supersedes",
    type=kinds.MESSAGE,
    metavar="ID",
    help="The id or seq of an older message of yours that this replaces.",
)
@click.option(
    "--text",
    "texted",
    multiple=True,
    metavar="WHO",
    help="Also send WHO an SMS that points at it. Repeat the option for several.",
)
@click.option("--key", help="Idempotency key: the same key again posts nothing new.")
@click.option("--strict", is_flag=True, default=None, help="Refuse a name that nobody has.")
@json_option
def post(
    to: str,
    text: str | None,
    file: Path | None,
    data: str | None,
    reply_to: str | None,
    texted: tuple[str, ...],
    tags: tuple[str, ...],
    **fields: Any,
) -> int:
    """Post TEXT to TO: a name, several with commas between, or `any` for everybody.

    Without TEXT, or with -, the text is read from standard input (its last newline is left out).
    """
    fields["priority"] = priority_of(fields.pop("urgent"), fields.pop("fyi"))
    body = read_text(text, file)
    if data is not None:
        fields["data"] = _object(data)
    names: Any = [name.strip() for name in to.split(",")] if "," in to else to
    for who in texted:
        if not _PERSON.fullmatch(who):
            raise click.UsageError(
                f"--text {who!r} is no name: letters, digits and ._- only; for several people,"
                " give --text several times."
            )
    tags += tuple(f"{_TEXT_TAG}{who}" for who in texted)
    with open_bus() as bus:
        posted = bus.post(body, to=names, in_reply_to=reply_to, tags=tags, **fields)
        return tell(posted, texted)


@click.command()
@click.argument("id", type=kinds.MESSAGE)
@click.argument("text", required=False)
@click.option(
    "--file",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The text, byte for byte.",
)
@click.option("-t", "--tag", "tags", multiple=True, help="A tag. Repeat the option for several.")
@click.option("--urgent", is_flag=True, help="First in every inbox.")
@click.option("--fyi", is_flag=True, help="Last in every inbox.")
@click.option("--ack", is_flag=True, help="Acknowledge the message as well.")
@json_option
def reply(id: str, text: str | None, file: Path | None, ack: bool, **fields: Any) -> int:
    """Answer the message ID (id or seq, or a reference as a session is shown it: 412.k7f3) to its
    sender, in its thread.
    """
    fields["priority"] = priority_of(fields.pop("urgent"), fields.pop("fyi"))
    body = read_text(text, file)
    with open_bus() as bus:
        posted = bus.reply(id, body, **fields)
        if ack:
            bus.ack(id)
        return tell(posted)


@click.command()
@click.argument("id", type=kinds.MESSAGE)
@click.argument("comment", required=False)
@click.option("--to", required=True, metavar="NAMES", help="Who gets it; several with commas.")
@click.option("-t", "--tag", "tags", multiple=True, help="A tag. Repeat the option for several.")
@click.option("--urgent", is_flag=True, help="First in every inbox.")
@click.option("--fyi", is_flag=True, help="Last in every inbox.")
@click.option("--thread", help="The thread this belongs to.")
@click.option("--key", help="Idempotency key: the same key again posts nothing new.")
@json_option
def forward(id: str, comment: str | None, to: str, **fields: Any) -> int:
    """Pass the message ID (id or seq) on, with a COMMENT above it if you give one.

    It keeps the lowest trust of all that it has passed through.
    """
    fields["priority"] = priority_of(fields.pop("urgent"), fields.pop("fyi"))
    names: Any = [name.strip() for name in to.split(",")] if "," in to else to
    with open_bus() as bus:
        return tell(bus.forward(id, names, comment, **fields))


def priority_of(urgent: bool, fyi: bool) -> str | None:
    """Return the priority that two flags give; raises click.UsageError for both."""
    if urgent and fyi:
        raise click.UsageError("A message is either --urgent or --fyi.")
    return "urgent" if urgent else "fyi" if fyi else None


def read_text(text: str | None, file: Path | None) -> str:
    """Return the text of a message: the argument, a file, or standard input.

    Raises click.UsageError.
    """
    if file is not None and text is not None:
        raise click.UsageError("Give the text, or --file, not both.")
    if file is not None:
        return decoded(file.read_bytes(), str(file))
    if text is not None and text != "-":
        return text
    if text is None and sys.stdin.isatty():
        raise click.UsageError('There is no text. For example: bus post bob "the build is green"')
    body = decoded(sys.stdin.buffer.read(), "Standard input").removesuffix("\n")
    if not body:
        raise click.UsageError(
            'There is no text, and standard input is empty. To everybody: bus post any "the text"'
        )
    return body


def decoded(data: bytes, what: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise click.UsageError(f"{what} is not UTF-8 (byte {error.start}).") from None


def _object(text: str) -> dict[str, Any]:
    def refuse(constant: str) -> None:
        raise click.UsageError(f"--data holds {constant}, which JSON does not have.")

    try:
        value = json.loads(text, parse_constant=refuse)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise click.UsageError("--data must be a JSON object.")
    return value


_YOU = "you; one's own messages are never unread"


_PERSON = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
_TEXT_TAG = "text:"
_TEXTED = {
    "ready": "gets an SMS",
    "away": "gets an SMS once the hub's service for notices is back",
    "not_heard": "gets no SMS: not from you (`senders` in the hub's notify.toml)",
    "nobody": "gets no SMS: none is set up for this name (docs/notices.md)",
}


def tell(posted: Posted, texted: tuple[str, ...] = ()) -> int:
    """Say what became of a post, and of the SMS to those it names; return the exit code."""
    message = posted.message
    if message is None:
        out.result(
            {"queued": True, "key": posted.key, "why": posted.why},
            "queued: not sent yet; the message goes out with the next call that can send it",
        )
        return exits.QUEUED
    words = [f"posted {message.seq} ({message.id})" + (", as before" if posted.replayed else "")]
    words += [
        f"  {one_line(name, 140)}: {_YOU if name == message.sender else _standing(facts)}"
        for name, facts in _facts(posted).items()
    ]
    texts = message.raw.get("texts")
    for who in texted:
        state = texts.get(who) if isinstance(texts, dict) else None
        words.append(f"  {who}: {_TEXTED.get(str(state), 'this hub does not say whether by SMS')}")
    words += [f"  {one_line(f'warning: {text}', 300)}" for text in posted.warnings]
    out.result({"queued": False, "key": posted.key, **message.raw}, "\n".join(words))
    return exits.OK


def _facts(posted: Posted) -> dict[str, Any]:
    """Return what is known of each recipient: an old hub tells less."""
    told = {str(one.get("name")): one for one in posted.recipients if isinstance(one, dict)}
    return {
        name: {**facts, **told.get(name, {})} if isinstance(facts, dict) else facts
        for name, facts in posted.delivery.items()
    }


def _standing(facts: Any) -> str:
    """Return how a recipient is doing, so that one sees at once when nobody listens."""
    if not isinstance(facts, dict):
        return "unknown"
    if "holder" in facts:
        held = f"held by {facts['holder']}" if facts["holder"] else "nobody has it"
        return held if facts.get("unread") is None else f"{held}, {facts['unread']} unread"
    if "subscribers" in facts:
        return f"{facts['subscribers']} subscriber{'' if facts['subscribers'] == 1 else 's'}"
    if "readers" in facts:
        return f"{facts['readers']} reader{'' if facts['readers'] == 1 else 's'}"
    seen = facts.get("last_seen")
    unread = facts.get("unread")
    return (f"last seen {age(seen)}" if seen else "never seen") + (
        "" if unread is None else f", {unread} unread"
    )
