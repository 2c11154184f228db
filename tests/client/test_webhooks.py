"""`bus webhook` and the library behind it."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from bus.config import Config
from busclient import Bus, Forbidden, NotFound, OutcomeUnknown, Refused
from busclient._cli import exits
from tests.client.conftest import Ran
from tests.client.doors import Door
from tests.conftest import Caller
from tests.notify.webhooks.conftest import Receiver, receiver, receivers, say

__all__ = ["receiver", "receivers"]
Make = Callable[..., Bus]
Cli = Callable[..., Ran]
SECRET = "a secret of the tests"


@pytest.fixture
def config(config: Config) -> Config:
    return Config(data_dir=config.data_dir, fsync="never", webhooks_private=True)


@pytest.fixture
def web1(bus: Caller, client: Make) -> Bus:
    bus.app.extensions["credentials"].add("web1", SECRET, "member")
    return client("web1", user="web1", password=SECRET)


def test_a_webhook_is_added_tested_and_removed(
    bus: Caller, web1: Bus, client: Make, receiver: Receiver
) -> None:
    made = web1.webhooks.add(receiver.url)
    assert (made.name, made.by, made.state, made.answers) == ("web1", "web1", "active", ())
    assert made.secret is not None
    assert made.secret.startswith("whsec_")
    (found,) = web1.webhooks.all(name="web1")
    assert (found.id, found.secret) == (made.id, None)
    assert web1.webhooks.all(name="web1/alpha") == []
    assert web1.webhooks.test(made.id).status == 200
    receiver.answer = say(500)
    assert web1.webhooks.test(made.id).error == "status 500"
    assert web1.webhooks.replay(made.id) == 0
    with pytest.raises(Forbidden):
        client("alice").webhooks.add(receiver.url)
    web1.webhooks.remove(made.id)
    with pytest.raises(NotFound):
        web1.webhooks.remove(made.id)
    for id in ("", "..", "a/b"):
        with pytest.raises(Refused):
            web1.webhooks.test(id)


def test_adding_is_not_repeated_when_the_answer_is_lost(web1: Bus, door: Door) -> None:
    door.troubles.append("lost")
    with pytest.raises(OutcomeUnknown):
        web1.webhooks.add("https://hooks.example.org/bus")
    assert len(web1.webhooks.all()) == 1


def test_the_commands_say_it(
    cli: Cli, web1: Bus, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"BUS_USER": "web1", "BUS_PASS": SECRET, "BUS_NAME": "web1"}.items():
        monkeypatch.setenv(name, value)
    assert cli("webhook").out == "no webhooks\n"
    id = cli("webhook", "add", receiver.url).out.split()[0]
    assert cli("webhook", "test", id).out.startswith(f"{id}: status 200 in ")
    receiver.answer = say(410)
    ran = cli("webhook", "test", id)
    assert (ran.code, "status 410" in ran.out) == (exits.UNWELL, True)
    head, row = cli("webhook", "list").out.splitlines()
    assert (head.split()[:4], row.split()) == (
        ["ID", "NAME", "STATE", "DEAD"],
        [id, "web1", "active", "0", "-", receiver.url],
    )
    assert json.loads(cli("webhook", "list", "--json").out)["webhooks"][0]["id"] == id
    assert cli("webhook", "replay", id).out == f"{id}: 0 sent again\n"
    assert cli("webhook", "remove", id).out == f"removed {id}\n"
    assert cli("webhook", "remove", id).code == exits.NOT_FOUND
    for words in (["add"], ["list", "x"], ["test", "x", "--name", "y"]):
        assert cli("webhook", *words).code == exits.USAGE
