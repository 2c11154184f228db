"""The routes that read: messages, one message, its receipts, search."""

from __future__ import annotations

import json
from dataclasses import replace

from flask import Blueprint, Response, g, request

from bus.hub.hub import Hub
from bus.model import checks
from bus.model.acks import Receipt, ReceiptsQuery
from bus.model.caller import EVERYONE, Taken, check_speaks_as, speaks_as
from bus.model.context_refs import nonce_of
from bus.model.filter import MessageQuery, MessagesQuery, SearchQuery, Selection
from bus.model.strict_json import Rest
from bus.web.http import parameters
from bus.web.http.auth import may_call
from bus.web.http.replies import (
    json_reply,
    message_text,
    page_json,
    page_text,
    raw_json_reply,
    text_reply,
    wants_text,
)


def blueprint(hub: Hub, taken: Taken, rest: Rest) -> Blueprint:
    """The routes that read. `rest` lets others go on while a page is made."""
    routes = Blueprint("reading", __name__)

    @routes.get("/messages")
    @may_call(EVERYONE)
    def messages() -> Response:
        asked = parameters.query(MessagesQuery)
        return page_reply(hub, asked, rest, taken)

    @routes.get("/messages/<ref>")
    @may_call(EVERYONE)
    def message(ref: str) -> Response:
        asked = parameters.query(MessageQuery)
        if asked.reader is not None:
            check_speaks_as(g.caller, asked.reader, "reader", taken)
        given = checks.reference(ref, "id")
        text = hub.messages.get(given, hub.privacy.view(g.caller))
        if nonce_of(given) is not None:
            found = json.loads(text)
            hub.proofs.note(g.caller, asked.reader, given, found["id"], found["seq"], "read")
        if wants_text(asked.format):
            return text_reply(message_text(json.loads(text)))
        return raw_json_reply(text)

    @routes.get("/messages/<ref>/receipts")
    @may_call(EVERYONE)
    def receipts(ref: str) -> Response:
        asked = parameters.query(ReceiptsQuery)
        hub.messages.get(checks.reference(ref, "id"), hub.privacy.view(g.caller))
        found = hub.acks.receipts(checks.reference(ref, "id"), asked.after or "", asked.limit)
        if wants_text(asked.format):
            more = f"-- {found['more']} more: after={found['next']}\n" if found["next"] else ""
            return text_reply(_receipts_text(found["receipts"]) + more)
        return json_reply(found)

    @routes.get("/search")
    @may_call(EVERYONE)
    def search() -> Response:
        asked = parameters.query(SearchQuery)
        selection = asked.selection(hub.messages.seq_of).seen_by(hub.privacy.view(g.caller))
        found, has_more = hub.messages.search(asked.q, selection)
        if wants_text(asked.format):
            shown = (
                "".join(message_text(json.loads(text), snippet) for text, snippet in found)
                or "no messages\n"
            )
            return text_reply(
                shown + (f"-- more: before={json.loads(found[-1][0])['seq']}\n" if has_more else "")
            )
        texts = [f'{text[:-1]},"snippet":{json.dumps(snippet)}}}' for text, snippet in found]
        seqs = [json.loads(text)["seq"] for text, _ in found]
        return raw_json_reply(page_json(texts, has_more, min(seqs, default=0)))

    return routes


def page_reply(hub: Hub, asked: MessagesQuery, rest: Rest, taken: Taken) -> Response:
    """Return a page of messages, perhaps after a wait."""
    is_look = is_peek(hub, asked.unread_by, taken) or bool(asked.peek)
    as_text, stars_of = wants_text(asked.format), _stars_of(asked, taken)
    selection = asked.selection(hub.messages.seq_of).seen_by(hub.privacy.view(g.caller))
    if asked.starred:
        selection = replace(selection, starred_by=checks.agent(stars_of, "reader"))
    # Asked before the page is made: what comes between the two must lie behind the cursor of an
    # empty page.
    known = hub.messages.indexed_to()
    page = hub.messages.read(selection, asked.wait, is_look, g.check)
    if stars_of is not None and (asked.starred or asked.reader or selection.briefs):
        page = hub.stars.marked(stars_of, page)
    if as_text:
        more = _more(page.seqs, selection) if page.has_more else None
        return text_reply(page_text(page.messages, more, rest))
    next = _next(page.seqs, selection, known)
    return raw_json_reply(page_json(page.messages, page.has_more, next))


def _stars_of(asked: MessagesQuery, taken: Taken) -> str | None:
    """Return whose stars a page is about: nobody sees those of another."""
    reader = asked.reader or (asked.unread_by if asked.starred else None)
    if reader is not None:
        check_speaks_as(g.caller, reader, "reader", taken)
        return reader
    if asked.unread_by is not None and speaks_as(g.caller, asked.unread_by, taken):
        return asked.unread_by
    return g.caller.own_name  # type: ignore[no-any-return]


def is_peek(hub: Hub, reader: str | None, taken: Taken) -> bool:
    """Return whether this read is for a name that is not the caller's, or gives no message (HEAD):
    then the sender must not be told that it was fetched.

    Raises OverQuota where the name is one too many of the caller's today.
    """
    if reader is None or request.method == "HEAD" or not speaks_as(g.caller, reader, taken):
        return reader is not None
    hub.credentials.use_name(g.caller, reader)
    return False


def _next(seqs: list[int], selection: Selection, known: int) -> int:
    """Return the cursor to go on with: for `since` when the oldest come first, for `before` when
    the newest do.
    """
    if selection.descending:
        start = known if selection.before is None else selection.before
        return min(seqs, default=start)
    start = known if selection.after is None else selection.after
    return max(seqs, default=start)


def _more(seqs: list[int], selection: Selection) -> str:
    """Return the parameter that gives the messages that the limit cut off."""
    if selection.newest or selection.descending:
        return f"before={min(seqs)}"
    return f"since={max(seqs)}"


def _receipts_text(receipts: dict[str, Receipt]) -> str:
    lines = [
        f"{name}: queued {times['queued']}, fetched {times['fetched'] or '-'}, acked"
        f" {times['acked'] or '-'}\n"
        for name, times in receipts.items()
    ]
    return "".join(lines) or "nobody\n"
