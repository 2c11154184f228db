"""What one request may cost the hub: bytes of an answer, and time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from bus import create_app
from bus.config import Config
from bus.credentials import Credentials
from bus.model.filter import MAX_PAGE_BYTES
from tests.conftest import PASSWORD, USER, Caller, opened
from tests.web.conftest import new_hub, refusal

LONG = 24


@pytest.fixture(scope="module")
def heavy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    """A hub with messages that are as long as can be, for tests that only read."""
    for bus in new_hub(tmp_path_factory.mktemp("heavy")):
        for number in range(LONG):
            bus.say(f"word {number} ".ljust(65_536, "x"), tags=["long"])
        yield bus


@pytest.mark.parametrize(
    ("path", "step"),
    [
        ("/messages?unread_by=bob&limit=500", "since"),
        ("/messages?since=0&limit=500", "since"),
        ("/messages?tag=long&limit=500", "before"),
        ("/messages?to=bob&order=desc&limit=500", "before"),
        ("/search?q=word&limit=500", "before"),
    ],
)
def test_a_page_is_bounded_by_bytes_and_leads_to_the_next(
    heavy: Caller, path: str, step: str
) -> None:
    seen: list[int] = []
    cursor, pages = "", 0
    while True:
        reply = heavy.get(path + cursor)
        page = reply.json
        assert len(reply.get_data()) < MAX_PAGE_BYTES + 20_000
        assert page["count"] == len(page["messages"]) > 0
        seen += [message["seq"] for message in page["messages"]]
        pages += 1
        if not page["has_more"]:
            break
        # Without `since` it is the newest ones that come first, and the oldest of them that leads
        # on.
        place = (
            page["next"]
            if "/search" in path or "desc" in path or step == "since"
            else page["messages"][0]["seq"]
        )
        cursor = f"&{step}={place}" if "since=0" not in path else f"&since={place}"
        path = path.replace("since=0&", "")
    assert sorted(seen) == list(range(1, LONG + 1))
    assert pages == 2
    assert "-- more: " in heavy.get(f"{path}&format=text").text


def test_one_message_is_given_however_long_it_is(bus: Caller) -> None:
    bus.say("\x01" * 65_536)
    assert bus.get("/messages?unread_by=bob").json["count"] == 1


def test_a_stream_gives_what_does_not_fit_into_a_page_too(heavy: Caller) -> None:
    reply = heavy.get("/stream?since=0&format=ndjson", buffered=False)
    seqs: list[int] = []
    rest = b""
    for chunk in reply.response:
        *lines, rest = (rest + chunk).split(b"\n")
        seqs += [json.loads(line)["seq"] for line in lines if line]
        if len(seqs) >= LONG:
            break
    reply.close()
    assert seqs == list(range(1, LONG + 1))


@pytest.fixture
def hurried(config: Config) -> Iterator[Caller]:
    """A hub that gives no question more than a millisecond, with two filters that never meet."""
    Credentials(config.credentials_file).add(USER, PASSWORD)
    for bus in opened(create_app(replace(config, query_max_s=0.001))):
        for start in range(0, 3_000, 1_000):
            lines = [
                {
                    "from": ("alice", "carol")[number % 2],
                    "to": "bob",
                    "body": "word",
                    "tags": [("even", "odd")[number % 2]],
                }
                for number in range(start, start + 1_000)
            ]
            data = "\n".join(map(json.dumps, lines))
            bus.post("/post", data=data, headers={"Content-Type": "application/x-ndjson"})
        yield bus


COSTLY: dict[str, dict[str, Any]] = {
    "/messages": {"from": "alice", "tag": "odd"},
    "/search": {"q": "word", "from": "alice", "tag": "odd"},
    "/search ": {"q": "w*", "unread_by": "bob", "from": "carol", "tag": "even"},
}


def test_a_question_that_takes_too_long_is_stopped_and_says_what_to_narrow(hurried: Caller) -> None:
    for path, query in COSTLY.items():
        reply = hurried.get(path.strip(), query_string=query)
        body = refusal(reply, 503, "too_costly")
        assert "since and before" in body["hint"]
        assert "Retry-After" not in reply.headers, "the same again costs the same"
    assert hurried.get("/messages?unread_by=bob&limit=1").status_code == 200
    assert hurried.get("/search?q=nosuch").json["count"] == 0
    assert hurried.get("/search?q=word&from=nosuch").json["count"] == 0
    assert hurried.get("/health").json["index"] == "ready"
