"""The hub posts a check-up by itself: once for each of its times."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bus import create_app
from bus.config import BadSetting, Config
from bus.hub.hub import Hub
from tests.conftest import Clock, opened
from tests.fleet import SECRET, As

DAY = 86_400
NOON = 1_790_000_000 // DAY * DAY + 12 * 3_600  # of a day in September 2026


class One:
    """A hub, or another worker of it, at a time."""

    def __init__(self, folder: Path, at: float, **settings: Any) -> None:
        config = Config(data_dir=folder, fsync="never", **{"checkup_to": "chas,#ops", **settings})
        self.app = create_app(config, clock=Clock(at))
        self.hub: Hub = self.app.extensions["bus"]
        credentials = self.app.extensions["credentials"]
        for name, role in (("admin", "admin"), ("web1", "member")):
            if name not in credentials.users():
                credentials.add(name, SECRET, role)

    def tick(self) -> list[dict[str, Any]]:
        """Do the chores; return all check-ups in the log."""
        assert self.hub.chores.do(), "another one leads"
        return self.posted()

    def posted(self) -> list[dict[str, Any]]:
        found = [record for _, record in self.hub.log.read() if record["kind"] == "message"]
        return [record for record in found if record.get("tags") == ["checkup"]]

    def at(self, seconds: float) -> None:
        """Set the clock."""
        self.hub.journal.clock = Clock(seconds)

    def stick(self) -> None:
        """Make something that is stuck."""
        asked = {"title": "the xylophone", "due": "2026-01-02"}
        assert As(self.app, "web1").post("/actions", json=asked).status_code == 201


@pytest.fixture
def one(tmp_path: Path) -> Iterator[One]:
    made = One(tmp_path / "data", NOON)
    for _ in opened(made.app):
        yield made


def test_one_for_each_time_and_none_when_nothing_is_stuck(one: One) -> None:
    assert one.tick() == []
    one.stick()
    assert one.tick() == [], "there was nothing to say at this time"
    one.at(NOON + DAY)
    (posted,) = one.tick()
    assert (posted["from"], posted["to"]) == ("bus", ["chas", "topic:ops"])
    assert posted["body"].splitlines()[0].endswith("check-up: 1 overdue, 1 nobody's")
    assert "the xylophone" in posted["body"]
    assert posted["trust"] == "agent", "it repeats what a member has written"
    assert posted["expires"] == time.strftime("%Y-%m-%dT09:00:00.000Z", time.gmtime(NOON + 2 * DAY))
    assert len(one.tick()) == 1
    one.at(NOON + DAY + 20 * 3_600)
    assert len(one.tick()) == 1, "the next time has not come"
    one.at(NOON + 2 * DAY)
    assert len(one.tick()) == 2
    one.at(NOON + 50 * DAY)
    assert [len(one.tick()), len(one.tick())] == [3, 3], "one, however long the hub was away"


def test_another_worker_posts_it_no_second_time(one: One, tmp_path: Path) -> None:
    one.stick()
    assert len(one.tick()) == 1
    other = One(tmp_path / "data", NOON + 3_600)
    for _ in opened(other.app):
        assert not other.hub.chores.do(), "one leads already"
        one.hub.chores.leave()
        assert len(other.tick()) == 1
        other.at(NOON + DAY)
        assert len(other.tick()) == 2
        other.hub.chores.leave()
        one.at(NOON + DAY)
        assert len(one.tick()) == 2


def test_several_times_a_day_and_always(tmp_path: Path) -> None:
    made = One(
        tmp_path / "data", NOON, checkup_to="chas", checkup_at="17:30,07:00", checkup_always=True
    )
    for _ in opened(made.app):
        (posted,) = made.tick()
        assert posted["to"] == "chas"
        assert posted["body"].endswith("check-up: nothing is stuck\n")
        assert posted["expires"][11:16] == "17:30"
        made.at(NOON + 6 * 3_600)
        assert len(made.tick()) == 2


def test_nobody_gets_one_unasked(tmp_path: Path) -> None:
    made = One(tmp_path / "data", NOON, checkup_to="", checkup_always=True)
    for _ in opened(made.app):
        made.stick()
        assert made.tick() == []


@pytest.mark.parametrize(
    ("to", "is_told"), [("admin", True), ("admin/x", True), ("admin,web1", False), ("any", False)]
)
def test_titles_go_to_those_who_may_read_them(tmp_path: Path, to: str, is_told: bool) -> None:
    made = One(tmp_path / "data", NOON, checkup_to=to, private=True)
    for _ in opened(made.app):
        made.stick()
        asked = {"to": "admin", "question": "the xylophone?", "by": 60}
        As(made.app, "web1").post("/ask", json=asked)
        made.at(time.time() + DAY)
        (posted,) = made.tick()
        assert ("xylophone" in posted["body"]) == is_told
        assert "OVERDUE action 1" in posted["body"]
        assert posted["trust"] == ("agent" if is_told else "hub")


def test_a_name_that_nobody_has_is_told(one: One, caplog: pytest.LogCaptureFixture) -> None:
    one.stick()
    one.tick()
    assert "BUS_CHECKUP_TO: nobody has the name chas" in caplog.text


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("BUS_CHECKUP_TO", "chas, two words", "'two words' is no name"),
        ("BUS_CHECKUP_TO", ",".join(f"n{number}" for number in range(33)), "more than 32"),
        ("BUS_CHECKUP_AT", "9:00", "no time of day such as 09:00"),
        ("BUS_CHECKUP_AT", "24:00", "no time of day"),
        ("BUS_CHECKUP_AT", ",", "1 to 24 times"),
    ],
)
def test_a_setting_that_cannot_be_used_is_refused(name: str, text: str, says: str) -> None:
    with pytest.raises(BadSetting) as refused:
        Config.from_env({name: text})
    assert says in str(refused.value) and name in str(refused.value)
