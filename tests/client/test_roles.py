"""`bus role` and the library behind it; and the machine's mail, which a session reads."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from busclient import Bus, NotFound, Refused
from tests.client.conftest import Ran

Make = Callable[..., Bus]
Cli = Callable[..., Ran]


def test_a_role_is_claimed_released_and_inherited(client: Make) -> None:
    alice, bob = client("alice"), client("bob")
    assert bob.roles.claim("deployer").holder == "bob"
    assert alice.roles.claim("role:deployer").candidates == ("bob", "alice")
    posted = alice.post("deploy 1.3", to="role:deployer")
    assert posted.delivery == {"role:deployer": {"holder": "bob", "unread": 1}}
    assert bob.roles.release("deployer").holder == "alice"
    (mine, _) = sorted(alice.unread(), key=lambda message: message.sender)
    assert mine.body == "deploy 1.3"
    alice.ack(mine)
    assert alice.roles.all()[0].unread == 0
    with pytest.raises(NotFound):
        alice.roles.release("nothing")
    with pytest.raises(Refused):
        alice.roles.claim("a/b")


def test_a_session_reads_and_settles_its_machines_mail(client: Make) -> None:
    alpha, bravo = client("web/alpha"), client("web/bravo")
    sent = client("alice").post("one task", to="web").message
    assert sent is not None
    assert [message.body for message in alpha.unread()] == ["one task"]
    (seen,) = bravo.unread()
    assert seen.raw["given_to"]["name"] == "web/alpha"
    assert bravo.inbox().unread == 1
    alpha.ack(sent)
    assert list(bravo.unread()) == list(client("web").unread()) == []


def test_the_command_says_it(cli: Cli) -> None:
    assert cli("role").out == "no roles\n"
    assert cli("role", "claim", "deployer").out == "deployer: bob has it now\n"
    assert "  role:deployer: held by bob, 1 unread\n" in cli("post", "role:deployer", "x").out
    cli("ack", "--all")
    head, row = cli("role", "list").out.splitlines()
    assert (head.split(), row.split()) == (
        ["ROLE", "HOLDER", "UNREAD", "CANDIDATES"],
        ["deployer", "bob", "0", "bob"],
    )
    assert json.loads(cli("role", "--json").out)["roles"][0]["holder"] == "bob"
    assert cli("role", "release", "deployer").out == "deployer: nobody has it now\n"
    assert "  role:deployer: nobody has it, 1 unread\n" in cli("post", "role:deployer", "x").out
    assert cli("role", "claim").code != 0
