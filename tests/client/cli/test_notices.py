"""bus notices."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from bus.config import Config
from bus.model.notices import NewNotice
from bus.notices.database import Database
from bus.notices.queue import Queue
from busclient._cli import exits
from tests.conftest import PASSWORD, Caller

Cli = Callable[..., Any]


@pytest.fixture
def queue(bus: Caller, config: Config) -> Queue:
    bus.app.extensions["credentials"].add("boss", PASSWORD, "admin")
    queue = Queue(Database(config.data_dir / "notices.db"), bus.hub.journal.time)
    queue.beat({"ops": None})
    return queue


def test_an_admin_sees_dead_letters_and_sends_one_again(
    cli: Cli, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"BUS_USER": "boss", "BUS_PASS": PASSWORD, "BUS_NAME": "boss"}.items():
        monkeypatch.setenv(name, value)
    boss = cli
    (id,) = queue.add([NewNotice("ops", "", "message", "web1 → db1", "hello")])
    queue.give_up([id], "status 400")
    told = boss("notices", "--state", "dead")
    assert told.code == exits.OK, told.err
    assert "ops: 0 queued, 0 sent, 1 dead" in told.out
    assert "web1 → db1 (status 400)" in told.out
    again = boss("notices", "retry", str(id))
    assert again.out.strip() == f"notice {id} is queued for ops again"
    assert boss("notices", "retry", str(id)).code != exits.OK
    assert json.loads(boss("notices", "--json").out)["notices"][0]["state"] == "queued"
    assert boss("notices", "retry").code == exits.USAGE
    queue.add([NewNotice("ops", "", "answer", "", "nothing waits\nfor a yes")])
    assert boss("notices").out.splitlines()[-2].endswith("  nothing waits")
    assert boss("notices", "retry", "99").code == exits.NOT_FOUND
    queue.database.close()


def test_others_do_not(cli: Cli, queue: Queue) -> None:
    assert cli("notices").code == exits.CREDENTIAL
    queue.database.close()
