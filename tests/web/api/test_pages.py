"""What the hub says about itself."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from bus.log.jsonl.engine import JsonlLog
from bus.version import __version__
from tests.conftest import ROOT, Caller


def test_health_counts_messages_and_tells_the_time(bus: Caller) -> None:
    bus.ack(bus.say())
    bus.say()
    facts = bus.get("/health").json
    assert (facts["ok"], facts["count"], facts["last_seq"]) == (True, 2, 3)
    assert abs((datetime.fromisoformat(facts["now"]) - datetime.now(UTC)).total_seconds()) < 60
    assert facts["now"].endswith("Z")
    assert (facts["index"], facts["index_lag"], facts["storage"], facts["damaged_lines"]) == (
        "ready",
        0,
        "ok",
        0,
    )
    assert facts["version"] == __version__


def test_health_says_so_when_storage_failed(bus: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(JsonlLog, "failed", lambda self: True)
    reply = bus.get("/health")
    assert reply.status_code == 503
    assert reply.json["ok"] is False
    assert "read-only" in reply.json["storage"]


def test_crawlers_are_kept_out(bus: Caller) -> None:
    reply = bus.get("/robots.txt")
    assert (reply.mimetype, reply.get_data()) == ("text/plain", b"User-agent: *\nDisallow: /\n")


def test_the_first_page_says_what_this_is_and_where_the_docs_are(bus: Caller) -> None:
    facts = bus.get("/").json
    assert "message bus" in facts["what"]
    for link in ("docs", "openapi"):
        assert bus.get(facts[link]).status_code == 200


def test_the_docs_are_the_protocol_in_words(bus: Caller) -> None:
    reply = bus.get("/docs")
    assert reply.mimetype == "text/markdown"
    text = reply.get_data(as_text=True)
    pages = ("protocol.md", "agents.md", "claude-code.md", "work.md", "files.md")
    for page in (*pages, "net.md", "security.md"):
        assert (Path(ROOT) / "docs" / page).read_text().splitlines()[0] in text
    assert "### not_permitted" in text
    assert "### POST /api/exec" in text
    assert ".md#" not in text, "a link leads out of the one page that this is"
