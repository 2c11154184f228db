"""Files that come with a message: their names, their types, and what is said of them. No I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypedDict

from bus.errors import BadField, MissingField
from bus.model.answer import Count, Says, Time
from bus.model.attached import Attachment
from bus.model.checks import shown
from bus.model.harmless import harmless
from bus.model.kinds import ULID_SCHEMA
from bus.model.messages import Draft
from bus.model.shape import Json, Kind, Shape

MAX_ATTACHMENTS = 16  # of one message
MAX_NAME = 255  # bytes
HEAD = 4_096  # bytes of a file by which its type is told
PATH = "/files/"

_SUM = re.compile(r"[0-9a-f]{64}")
_ULID = re.compile(r"[0-9A-Z]{26}")
_SUM_SCHEMA: Json = {"type": "string", "pattern": f"^{_SUM.pattern}$"}

# What a file begins with, at which place. Nothing that a browser would run is among them: HTML, SVG
# and XML are text like any other.
_BEGINS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (8, b"WAVE", "audio/wav"),
    (4, b"ftyp", "video/mp4"),
    (0, b"\x1aE\xdf\xa3", "video/webm"),
    (0, b"OggS", "audio/ogg"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"%PDF-", "application/pdf"),
    (0, b"PK\x03\x04", "application/zip"),
    (0, b"PK\x05\x06", "application/zip"),
    (0, b"\x1f\x8b", "application/gzip"),
    (0, b"\x28\xb5\x2f\xfd", "application/zstd"),
    (0, b"\xfd7zXZ\x00", "application/x-xz"),
    (0, b"BZh", "application/x-bzip2"),
    (0, b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (257, b"ustar", "application/x-tar"),
    (0, b"SQLite format 3\x00", "application/vnd.sqlite3"),
)
_CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")


def _file_name(value: Any, field: str) -> str:
    """Return the name of a file, which is never a path; raises BadField."""
    if value is None:
        raise MissingField(
            f"`{field}` is missing.", hint="Give the file's name: ?name=build.zip", field=field
        )
    rule = f"1 to {MAX_NAME} bytes, no path, neither . nor .., no control or hidden characters"
    if (
        not isinstance(value, str)
        or value != value.strip()
        or not 1 <= len(value.encode("utf-8", "replace")) <= MAX_NAME
        or value in (".", "..")
        or any(char in value for char in "/\\")
        or not value.isprintable()
        or harmless(value) != value
    ):
        raise BadField(
            f"`{field}` is {shown(value)}, which is no name of a file.",
            hint=f"A name is {rule}.",
            field=field,
        )
    return value


def _size(value: Any, field: str) -> int:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not 0 <= value < 1 << 50 or value != int(value):
        raise BadField(
            f"`{field}` is {shown(value)}.", hint="The size of the file in bytes.", field=field
        )
    return int(value)


def _sum(value: Any, field: str) -> str:
    if not isinstance(value, str) or _SUM.fullmatch(value) is None:
        raise BadField(
            f"`{field}` is {shown(value)}.", hint="64 hex digits, in lower case.", field=field
        )
    return value


def _uploads(value: Any, field: str) -> list[str]:
    """Return the ids of uploads, each once."""
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_ATTACHMENTS:
        raise BadField(
            f"`{field}` is {shown(value)}.",
            hint=f"A list of 1 to {MAX_ATTACHMENTS} ids that POST /uploads has given.",
            field=field,
        )
    for id in value:
        if not isinstance(id, str) or _ULID.fullmatch(id) is None:
            raise BadField(
                f"`{field}` holds {shown(id)}, which is no id.",
                hint="Give ids that POST /uploads has answered.",
                field=field,
            )
    return list(dict.fromkeys(value))


FILE_NAME = Kind(_file_name, {"type": "string", "minLength": 1, "format": "bus-file-name"})
SIZE = Kind(_size, {"type": "integer", "minimum": 0, "maximum": (1 << 50) - 1})
SUM = Kind(_sum, _SUM_SCHEMA)
UPLOADS = Kind(
    _uploads,
    {
        "type": "array",
        "items": {**ULID_SCHEMA, "pattern": f"^{_ULID.pattern}$"},
        "minItems": 1,
        "maxItems": MAX_ATTACHMENTS,
    },
)
_SUM_SAYS = "refuse the file if its SHA-256 is another"


@dataclass(frozen=True, kw_only=True)
class NewUpload(Shape):
    """POST /uploads: a file that is to come in parts."""

    name: Annotated[str, FILE_NAME]
    size: Annotated[int, SIZE, "bytes"]
    sha256: Annotated[str | None, SUM, _SUM_SAYS] = None


@dataclass(frozen=True, kw_only=True)
class OneFile(Shape):
    """What the query of PUT /files says of the file itself."""

    name: Annotated[str, FILE_NAME]
    sha256: Annotated[str | None, SUM, _SUM_SAYS] = None


@dataclass(frozen=True, kw_only=True)
class UploadsToPost(Shape):
    """What the JSON of POST /files says besides the fields of a post."""

    uploads: Annotated[list[str], UPLOADS, "the ids of whole uploads"]


def draft_of(fields: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Return the fields of a post with files: without a body, it is their names."""
    return {"body": "\n".join(names), **fields}


def parameters() -> list[Json]:
    """Return what OpenAPI says of the query of PUT /files."""
    form = Draft.form_schema()["properties"]
    more = [
        {"name": name, "in": "query", "schema": schema}
        for name, schema in form.items()
        if name not in OneFile.names()
    ]
    return [*OneFile.parameters(), *more]


def form_schema() -> Json:
    """Return what OpenAPI says of a form with files."""
    return {
        "type": "object",
        "description": "files under any names, and the fields of POST /post",
        "properties": {"file": {"type": "string", "format": "binary"}},
        "required": ["file"],
    }


def uploads_schema() -> Json:
    """Return what OpenAPI says of a post with uploads."""
    draft, more = Draft.schema(), UploadsToPost.schema()
    return {
        **draft,
        "properties": {**draft["properties"], **more["properties"]},
        "required": ["uploads"],
    }


class Upload(TypedDict):
    """A file that comes in parts."""

    ok: Literal[True]
    id: Annotated[str, Says(pattern=f"^{_ULID.pattern}$")]
    name: str
    size: Count
    offset: Annotated[int, Says(minimum=0), "how many bytes are there"]
    expires: Annotated[Time, "it is removed then, unless a part has come"]
    url: str


class UploadGone(TypedDict):
    """An upload that was given up."""

    ok: Literal[True]
    id: str


def type_of(head: bytes, is_whole: bool) -> str:
    """Return the media type of a file by its first bytes; `is_whole` if these are all."""
    for at, begin, type in _BEGINS:
        if head[at : at + len(begin)] == begin:
            return type
    if _CONTROLS.search(head) is not None:
        return "application/octet-stream"
    try:
        head.decode()
    except UnicodeDecodeError as error:
        if is_whole or error.start < len(head) - 3:  # a character that HEAD has cut is none
            return "application/octet-stream"
    return "text/plain"


def attachment(id: str, name: str, size: int, sha256: str, type: str) -> Attachment:
    """Return what a message says of a file."""
    return {
        "id": id,
        "name": name,
        "size": size,
        "sha256": sha256,
        "type": type,
        "url": PATH + id,
    }


def said_of(attachments: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what tells the files of a repeated post from others: not where they are."""
    return [{name: one[name] for name in ("name", "size", "sha256")} for one in attachments]
