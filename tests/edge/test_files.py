"""Files through nginx: taken at any size and passed on as they come, sent by nginx itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .conftest import running_hub
from .harness import Edge

pytestmark = pytest.mark.slow
DATA = b"%PDF-" + bytes(range(256)) * 12_000  # three times what another route takes
SUM = hashlib.sha256(DATA).hexdigest()


@pytest.fixture(scope="module")
def files(
    make_edge: Callable[..., Edge], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Edge]:
    """nginx and a hub with one folder of files, as on a server."""
    folder = tmp_path_factory.mktemp("hub")
    with running_hub(folder, BUS_FILES_DIR=str(folder / "files"), BUS_ACCEL="1") as path:
        edge = make_edge(path)
        (edge.dir / "files").symlink_to(folder / "files")
        yield edge


@pytest.fixture(scope="module")
def url(files: Edge) -> str:
    """Where a file is that was sent."""
    sent = files.ask("PUT", "/files?name=a.pdf&from=alice&to=bob", DATA)
    assert sent.status == 201, sent.body
    (one,) = sent.json["attachments"]
    assert (one["size"], one["sha256"]) == (len(DATA), SUM)
    return str(one["url"])


def test_nginx_sends_the_file_with_the_headers_of_the_hub(files: Edge, url: str) -> None:
    got = files.ask("GET", url)
    assert (got.status, got.body) == (200, DATA)
    assert got.headers["content-type"] == "application/pdf"
    assert got.headers["content-disposition"].startswith('attachment; filename="a.pdf"')
    assert got.headers["content-security-policy"] == "sandbox; default-src 'none'"
    assert got.headers["x-content-type-options"] == "nosniff"
    assert got.headers["etag"] == f'"{SUM}"'
    assert "strict-transport-security" in got.headers
    assert "last-modified" not in got.headers
    assert "x-accel-redirect" not in got.headers
    head = files.ask("HEAD", url)
    assert (head.status, head.headers["content-length"]) == (200, str(len(DATA)))


def test_a_part_and_what_is_there_already(files: Edge, url: str) -> None:
    part = files.ask("GET", url, headers={"Range": "bytes=100-199"})
    assert (part.status, part.body) == (206, DATA[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{len(DATA)}"
    same = files.ask("GET", url, headers={"Range": "bytes=100-", "If-Range": f'"{SUM}"'})
    assert (same.status, same.body) == (206, DATA[100:])
    known = files.ask("GET", url, headers={"If-None-Match": f'"{SUM}"'})
    assert (known.status, known.body) == (304, b"")


def test_nobody_comes_by_a_file_but_through_the_hub(files: Edge, url: str) -> None:
    inside = f"/.claude-bus/files/{SUM[:2]}/{SUM}"
    assert (Path(files.dir) / "files" / SUM[:2] / SUM).exists()
    assert files.ask("GET", inside).status == 404
    assert files.ask("GET", inside, auth={}).status in (401, 404)
    assert files.ask("GET", url, auth={}).status == 401
    refused = files.ask("PUT", "/files?name=a&from=alice&to=bob", DATA, auth={})
    assert (refused.status, refused.json["error"]) == (401, "unauthorized")


def test_an_upload_in_parts_and_in_chunks(files: Edge) -> None:
    asked = json.dumps({"name": "a.pdf", "size": len(DATA), "sha256": SUM})
    begun = files.ask("POST", "/uploads", asked, {"Content-Type": "application/json"}).json
    half = len(DATA) // 2
    for at, part in ((0, DATA[:half]), (half, DATA[half:])):
        reply = files.ask("PATCH", begun["url"], iter([part]), {"Upload-Offset": str(at)})
        assert (reply.status, reply.json["offset"]) == (200, at + len(part))
    fields = json.dumps({"uploads": [begun["id"]], "from": "alice", "to": "bob"})
    posted = files.ask("POST", "/files", fields, {"Content-Type": "application/json"})
    assert (posted.status, posted.json["attachments"][0]["sha256"]) == (201, SUM)


def test_the_limit_of_other_routes_stays(files: Edge) -> None:
    for path in ("/post?from=alice&to=bob", "/uploads", "/api/exec2", "/files/x"):
        refused = files.ask("POST", path, bytes(2 << 20))
        assert (refused.status, refused.json["error"]) == (413, "too_large"), path
    assert "/files?name=FILE" in refused.json["hint"]


def test_the_hub_refuses_before_the_file_is_sent(files: Edge) -> None:
    refused = files.ask("PUT", "/files?name=a&from=alice&to=bob&in_reply_to=99", DATA)
    assert (refused.status, refused.json["error"]) == (422, "unknown_reply")
