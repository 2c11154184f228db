"""What the OpenAPI document says of briefs and threads."""

from __future__ import annotations

from bus.model.answer import reference
from bus.model.brief_import import BriefImport
from bus.model.briefs import Brief, BriefQuery, BriefsQuery, PostedBrief, Thread, ThreadQuery
from bus.model.kinds import KEY
from bus.model.messages import Message, Page
from bus.model.shape import Json
from bus.web.openapi.parts import errors, get, path_ref


def paths() -> Json:
    """Return the description of each path."""
    key = {"name": "Idempotency-Key", "in": "header", "schema": KEY.schema}
    text = {"schema": {"type": "string", "description": "front matter, and the text behind it"}}
    posted = {"application/json": {"schema": reference(PostedBrief)}}
    one = get(
        "One brief, as markdown with its front matter, or as the message that it is",
        reference(Message),
        text=True,
        params=[path_ref(), *BriefQuery.parameters()],
    )
    one["responses"]["200"]["content"]["text/markdown"] = {"schema": {"type": "string"}}
    return {
        "/briefs": {
            "get": get(
                "Briefs, with the filters of GET /messages",
                reference(Page),
                text=True,
                params=BriefsQuery.parameters(),
            ),
            "post": {
                "summary": "Post a brief: markdown with front matter, or JSON",
                "parameters": [key],
                "requestBody": {
                    "required": True,
                    "content": {
                        "application/json": {"schema": Brief.schema()},
                        "text/markdown": text,
                    },
                },
                "responses": {
                    "201": {"description": "saved; the message that it is", "content": posted},
                    **errors(400, 403, 404, 413, 415, 422, 429, 507),
                },
            },
        },
        "/import": {
            "post": {
                "summary": "Put a file of another mail system into a mailbox of one's own, once",
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": BriefImport.schema()}},
                },
                "responses": {
                    "201": {"description": "saved; the message that it is", "content": posted},
                    **errors(400, 403, 404, 413, 415, 422, 429, 507),
                },
            },
        },
        "/briefs/{ref}": {"get": one},
        "/thread/{ref}": {
            "get": get(
                "The messages of a thread, oldest first",
                reference(Thread),
                text=True,
                params=[path_ref(), *ThreadQuery.parameters()],
            )
        },
    }
