"""Files: posting messages with them, and fetching them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any
from urllib.parse import quote

from flask import Blueprint, Response, g, request
from werkzeug.sansio.multipart import Data, Field, File

from bus.errors import BadField, MissingField, NoSuchRange, TooLarge
from bus.hub.attachments import Found, Incoming
from bus.hub.hub import Hub
from bus.hub.messages import Posted
from bus.live.quotas import Quotas
from bus.model import checks, messages
from bus.model.attachments import (
    FILE_NAME,
    MAX_ATTACHMENTS,
    OneFile,
    UploadsToPost,
    draft_of,
)
from bus.model.caller import EVERYONE, Taken
from bus.model.messages import Draft
from bus.web.api import posting
from bus.web.http import body, incoming, parameters
from bus.web.http.auth import may_call
from bus.web.http.replies import Reply
from bus.web.http.underway import UnderWay

# Where nginx has the folder of attachments: nginx/claude-bus.conf says the same.
_INTERNAL = "/.claude-bus/files/"
# Whoever opens one of these in a browser runs nothing of it.
_INERT = (
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "sandbox; default-src 'none'"),
)
_FORM, _FIELDS_MOST = "multipart/form-data", body.MAX_REQUEST


def blueprint(hub: Hub, taken: Taken, files: tuple[Quotas, Quotas], accel: bool) -> Blueprint:
    """The routes of files. `files` counts those that come, and those that go; with `accel`, nginx
    sends them.
    """
    routes = Blueprint("attachments", __name__)

    @routes.put("/files")
    @may_call(EVERYONE)
    def put() -> Response:
        return one()

    @routes.post("/files")
    @may_call(EVERYONE)
    def post() -> Response:
        if body.content_type() == _FORM:
            return form()
        if body.content_type() == "application/json" and "name" not in request.args:
            return whole_uploads()
        return one()

    def one() -> Response:
        query = parameters.params((*OneFile.names(), *Draft.names()))
        file = OneFile.read({name: query.pop(name) for name in OneFile.names() if name in query})
        draft = draft_in(draft_of(messages.from_texts(query), [file.name]))
        hub.attachments.check(g.caller, draft)
        size = incoming.size_of(request.environ) or 0
        hub.attachments.check_size(size)
        hub.attachments.check_room(g.caller, size)
        with (
            files[0].held(g.caller.name),
            hub.attachments.receive(file.name, size, file.sha256) as coming,
        ):
            for piece in incoming.pieces(request.environ):
                coming.add(piece)
            return answer(draft, [coming])

    def form() -> Response:
        query = parameters.params(Draft.names())
        with files[0].held(g.caller.name), ExitStack() as stack:
            form = Form(query)
            for event in incoming.form(request.environ):
                if isinstance(event, File):
                    if not form.files:
                        check_early(query, form.fields)
                    name = form.name_of(event)
                    coming = stack.enter_context(hub.attachments.receive(name, 0))
                    form.files.append(coming)
                form.take(event)
            if not form.files:
                raise MissingField(
                    "The form holds no file.", hint="curl -F file=@build.zip …", field="file"
                )
            names = [file.name for file in form.files]
            return answer(draft_in(draft_of(form.joined(), names)), form.files)

    def check_early(query: Mapping[str, str], fields: Mapping[str, str]) -> None:
        """Refuse what can be refused before the files come: the fields that stand before them."""
        given = messages.from_texts({**query, **fields})
        with suppress(MissingField):  # it may stand behind the files
            hub.attachments.check(g.caller, draft_in(draft_of(given, ["file"])))
        hub.attachments.check_room(g.caller, incoming.size_of(request.environ) or 0)

    def whole_uploads() -> Response:
        query, fields = parameters.params(Draft.names()), body.json_body()
        given = {name: fields.pop(name) for name in UploadsToPost.names() if name in fields}
        ids = UploadsToPost.read(given).uploads
        parameters.refuse_twice(query, fields)
        fields = {**messages.from_texts(query), **fields}
        checks.check_fields(fields, Draft.names())
        draft = draft_in(draft_of(fields, hub.uploads.names(g.caller, ids)))
        return replied(hub.uploads.post(g.caller, draft, ids))

    def draft_in(fields: dict[str, Any]) -> Draft:
        body.add_key(fields, request.environ.get("HTTP_IDEMPOTENCY_KEY"))
        return posting.checked(g.caller, fields, taken)

    def answer(draft: Draft, files: list[Incoming]) -> Response:
        g.check()  # it may have taken an hour to come
        return replied(hub.attachments.post(g.caller, draft, files))

    def replied(posted: Posted) -> Response:
        return Reply(posting.saved(hub, g.caller, posted), 201, mimetype="application/json")

    _add_fetching(routes, hub, files[1], accel)
    return routes


def _add_fetching(routes: Blueprint, hub: Hub, downloads: Quotas, accel: bool) -> None:
    @routes.get("/files/<id>")
    @may_call(EVERYONE)
    def fetch(id: str) -> Response:
        parameters.params(())
        found = hub.attachments.find(g.caller, id)
        headers = _headers(found)
        if headers["ETag"] in request.headers.get("If-None-Match", ""):
            return Reply(status=304, headers=headers)
        if accel:
            path = found.path.relative_to(hub.attachments.contents.folder)
            headers["X-Accel-Redirect"] = f"{_INTERNAL}{path}"
            return Reply(b"", headers=headers)
        start, end, status = _part(found, headers)
        headers["Content-Length"] = str(end - start)
        if request.method == "HEAD":
            return Reply(status=status, headers=headers)
        # A reader who takes nothing keeps a megabyte of this worker for as long as it likes.
        under_way = UnderWay(downloads)
        under_way.enter(g.caller.name)

        def going() -> Iterator[bytes]:
            try:
                yield from _bytes(hub, found, start, end)
            finally:
                under_way.leave()

        reply = Reply(going(), status, headers=headers)
        reply.call_on_close(under_way.leave)  # one that never began, too
        return reply


class Form:
    """What has come of a form: its fields, and its files in their order."""

    def __init__(self, query: Mapping[str, str]) -> None:
        self._query = query
        self.fields: dict[str, str] = {}
        self.files: list[Incoming] = []
        self._name: str | None = None  # of the field that comes; None: a file does
        self._text, self._size = bytearray(), 0

    def name_of(self, event: File) -> str:
        """Return the name of a file that begins; raises BadField."""
        if len(self.files) == MAX_ATTACHMENTS:
            raise BadField(
                f"The form holds more than {MAX_ATTACHMENTS} files.",
                hint="Post them in parts.",
                field="file",
            )
        return str(FILE_NAME.check(event.filename, "filename"))

    def take(self, event: object) -> None:
        """Take in the beginning of a field or a file, or some of its data."""
        if isinstance(event, File):
            self._name = None
        elif isinstance(event, Field):
            self._begin(event.name or "")
        elif isinstance(event, Data):
            self._data(event)

    def joined(self) -> dict[str, Any]:
        """Return the fields of the form and of the query."""
        parameters.refuse_twice(self._query, self.fields)
        return messages.from_texts({**self._query, **self.fields})

    def _begin(self, name: str) -> None:
        checks.check_fields((name,), Draft.names())
        if name in self.fields:
            raise BadField(f"The field {name[:64]!r} is there twice.", field=name[:64])
        self._name, self._text = name, bytearray()

    def _data(self, event: Data) -> None:
        if self._name is None:
            if event.data:
                self.files[-1].add(event.data)
            return
        self._size += len(event.data)
        if self._size > _FIELDS_MOST:
            raise TooLarge(f"The fields have more than {_FIELDS_MOST} bytes.", limit=_FIELDS_MOST)
        self._text += event.data
        if not event.more_data:
            self.fields[self._name] = messages.utf8(bytes(self._text))


def _disposition(name: str) -> str:
    """Return the header by which a file is saved and not shown: RFC 6266, with the name twice."""
    plain = "".join(char if char.isascii() and char not in '"\\%' else "_" for char in name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _headers(found: Found) -> dict[str, str]:
    one = found.attachment
    text = "; charset=utf-8" if one["type"].startswith("text/") else ""
    return {
        "Content-Type": one["type"] + text,
        "Content-Disposition": _disposition(one["name"]),
        "ETag": f'"{one["sha256"]}"',
        "Accept-Ranges": "bytes",
        **dict(_INERT),
    }


def _part(found: Found, headers: dict[str, str]) -> tuple[int, int, int]:
    """Return the bytes that are asked for, and the status; raises NoSuchRange."""
    size, given = found.attachment["size"], request.range
    is_other = request.headers.get("If-Range", headers["ETag"]) != headers["ETag"]
    if given is None or given.units != "bytes" or len(given.ranges) != 1 or is_other:
        return 0, size, 200
    part = given.range_for_length(size)
    if part is None:
        raise NoSuchRange(f"There are {size} bytes.", size=size)
    headers["Content-Range"] = f"bytes {part[0]}-{part[1] - 1}/{size}"
    return part[0], part[1], 206


def _bytes(hub: Hub, found: Found, start: int, end: int) -> Iterator[bytes]:
    fd = os.open(found.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        while start < end:
            most = min(incoming.PIECE, end - start)
            data = hub.attachments.carry(partial(os.pread, fd, most, start))
            if not data:
                return
            start += len(data)
            yield data
    finally:
        os.close(fd)
