"""`bus brief` and `bus action`, and the library behind them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from busclient import Bus, Conflict, Forbidden, NotFound, Refused, UnknownRecipient
from tests.client.conftest import Ran

Make = Callable[..., Bus]
Cli = Callable[..., Ran]


def test_a_brief_reaches_its_reader_as_it_was_written(client: Make) -> None:
    alice, bob = client("alice"), client("bob")
    text = "---\ntitle: Plan\nticket: 0123\n---\n# Ünï\r\n\n- [ ] a @bob\n"
    front = {"to": ["bob", "carol"], "action": 'say "b": #now', "due": "2026-12-24"}
    bob.post("here", to="alice")
    done = alice.briefs.post(text, front=front)
    assert [(one.title, one.assignee) for one in done.actions] == [
        ('say "b": #now', None),
        ("a", "bob"),
    ]
    (message,) = bob.briefs.all(unread_by="bob")
    assert (message.sender, message.body) == ("alice", text.partition("3\n---\n")[2])
    assert message.raw["brief"]["extra"] == {"ticket": "0123"}
    markdown = bob.briefs.markdown(message)
    assert markdown.endswith("\n---\n" + message.body)
    again = alice.briefs.post(text, front=front)
    assert (again.posted.replayed, again.actions) == (True, done.actions)
    assert alice.briefs.post(text, front=front, key="k").posted.replayed is False
    with pytest.raises(NotFound):
        bob.briefs.markdown(99_999)


@pytest.mark.parametrize(
    ("text", "sender"),
    [
        ("no front matter", "alice"),
        ("---\ntitle: x\n---\nfrom: nobody", "alice"),
        ("---\r\ntitle: x\r\n---\r\nb", "alice"),
        ("---\n'from': carol\n---\nb", "carol"),
        ("\ufeff---\nfrom : carol\n---\nb", "carol"),
    ],
)
def test_the_sender_is_i_unless_the_front_matter_says(client: Make, text: str, sender: str) -> None:
    done = client("alice").briefs.post(text, front={"to": "bob"})
    assert done.posted.message is not None
    assert done.posted.message.sender == sender


def test_what_is_wrong_is_raised(client: Make) -> None:
    alice = client("alice")
    with pytest.raises(Refused) as refused:
        alice.briefs.post("---\ndate: soon\n---\nb")
    assert refused.value.details["line"] == 3  # behind the `from` that was put in
    with pytest.raises(UnknownRecipient) as unknown:
        alice.actions.add("x", assignee="nobody")
    assert "nobody has the action yet" in str(unknown.value.hint)  # nothing waits for the name


def test_an_action_goes_its_way(client: Make) -> None:
    alice, bob, carol = client("alice"), client("bob"), client("carol")
    action = alice.actions.add("review", priority="high", due="2999-12-24", to=["bob", "carol"])
    assert (action.status, action.assignee, action.is_open) == ("open", None, True)
    assert [one.number for one in bob.actions.all(unassigned=True)] == [action.number]
    assert bob.actions.claim(action.number).assignee == "bob"
    assert [one.number for one in bob.actions.mine()] == [action.number]
    with pytest.raises(Conflict) as lost:
        carol.actions.claim(action.number)
    assert lost.value.details["holder"] == "bob"
    with pytest.raises(Forbidden):
        carol.actions.done(action.number)
    waits = bob.actions.change(action.number, waiting_on="the vendor", due=None, note="asked")
    assert (waits.status, waits.waiting_on, waits.due) == ("waiting", "the vendor", None)
    done = bob.actions.done(action.number, "merged")
    assert not done.is_open
    assert [(change.who, change.note) for change in done.history] == [
        ("bob", None),
        ("bob", "asked"),
        ("bob", "merged"),
    ]
    assert bob.actions.mine() == []
    assert [one.number for one in alice.actions.all(status="done")] == [action.number]
    (told,) = alice.unread()
    assert told.body == f"Action {action.number} is done: review\nmerged"
    assert alice.actions.get(action.number).history == done.history
    with pytest.raises(Refused):
        alice.actions.get(0)


def test_many_actions_come_in_pages(client: Make) -> None:
    alice = client("alice")
    made = [alice.actions.add(f"a{number}").number for number in range(3)]
    assert [one.number for one in alice.actions.all(limit=2)] == made[:0:-1]


def test_the_commands_say_it(cli: Cli, client: Make, tmp_path: Path) -> None:
    plan = tmp_path / "plan.md"
    plan.write_text("# Plan\n\n- [ ] a !high due:2026-03-28\n")
    ran = cli("brief", str(plan), "--to", "bob")
    assert "  action 1 open HIGH bob due 2026-03-28 OVERDUE: a\n" in ran.out
    seq = ran.out.split()[1]
    shown = cli("brief", "--show", seq).out
    assert shown.startswith("---\ntitle: Plan\n")
    assert shown.endswith("# Plan\n\n- [ ] a !high due:2026-03-28\n")
    assert cli("action").out == "1 open HIGH bob due 2026-03-28 OVERDUE: a\n"
    client("alice").actions.add("free\u202e one")
    assert cli("action", "--free").out == "2 open nobody: free\ufffd one\n"
    assert cli("action", "claim", "2").out == "2 wip bob: free\ufffd one\n"
    updated = cli("action", "update", "1", "--due", "-", "--status", "wip", "--note", "n")
    assert updated.out == "1 wip HIGH bob: a\n"
    assert "status wip, due none (n)" in cli("action", "show", "1").out.splitlines()[2]
    assert cli("action", "done", "1").out == "1 done HIGH bob: a\n"
    assert json.loads(cli("action", "--json").out)["actions"][0]["number"] == 2
    added = json.loads(cli("action", "add", "new", "--for", "bob", "--json").out)
    assert (added["action"]["number"], added["action"]["assignee"]) == (3, "bob")


@pytest.mark.parametrize(
    "words",
    [
        ("claim",),
        ("claim", "x"),
        ("claim", "1", "--note", "x"),
        ("list", "1"),
        ("add", "x", "--all"),
    ],
)
def test_what_does_not_go_together_is_a_usage_error(cli: Cli, words: tuple[str, ...]) -> None:
    assert cli("action", *words).code == 2


def test_a_claim_that_came_too_late_says_who_has_it(cli: Cli, client: Make) -> None:
    alice: Any = client("alice")
    action = alice.actions.add("x")
    alice.actions.claim(action.number)
    ran = cli("action", "claim", str(action.number))
    assert ran.code == 7
    assert "alice has the action" in ran.err


def test_briefs_are_signed_until_that_is_ended(cli: Cli, client: Make) -> None:
    bob: Any = client("bob")
    assert cli("signature").out == "the briefs of bob are not signed\n"
    assert cli("signature", "// bob, over").out == "// bob, over\n"
    assert json.loads(cli("signature", "--json").out)["signature"] == "// bob, over"
    message = bob.briefs.post("the text", front={"to": "bob"}).posted.message
    assert (message.body, message.signature) == ("the text", "// bob, over")
    assert cli("read", str(message.seq)).out.endswith("\n  the text\n  // bob, over\n")
    assert cli("log", "--limit", "1").out.endswith("\n  the text\n  // bob, over\n")
    assert cli("signature", "a\nb").code == 7
    assert cli("signature", "x", "--off").code == 2
    assert cli("signature", "--off").code == 0
    assert bob.briefs.signature() == ""
    later = bob.briefs.post("later", front={"to": "bob"}).posted.message
    assert later.signature == ""


def test_the_digest_sums_up_and_acknowledges_what_it_shows(client: Make, cli: Cli) -> None:
    alice, bob = client("alice"), client("bob")
    alice.post("later", to="bob", priority="fyi")
    alice.briefs.post("# Blocker\nThe build is red.", front={"to": "bob", "priority": "urgent"})
    alice.briefs.post(
        "x", front={"to": "bob", "title": "T", "action": "mend it", "due": "2026-12-24"}
    )
    assert bob.briefs.digest()["unread"] == 3
    shown = cli("digest").out.splitlines()
    assert shown[0].startswith("3 unread for bob: 1 fyi, 1 urgent, 3 from alice")
    assert "URGENT" in shown[1] and "Blocker" in shown[1]
    assert "action 1 open due 2026-12-24: mend it" in shown
    assert json.loads(cli("digest", "--json").out)["unread"] == 3
    assert cli("digest", "--ack").out.splitlines()[-1] == "-- acknowledged 3"
    assert cli("digest").out.splitlines()[0] == "0 unread for bob"


def test_lists_show_the_title_of_a_brief_and_the_digest_says_nothing_twice(
    client: Make, cli: Cli
) -> None:
    alice = client("alice")
    alice.briefs.post("text", front={"to": "bob", "title": 'Blocker 🎉 "db"'})
    alice.briefs.post("# Green\n", front={"to": "bob"})
    for command in ("inbox", "log"):
        assert r' alice (unverified) > bob BRIEF "Blocker 🎉 \"db\""' in cli(command).out
    shown = cli("digest").out.splitlines()
    assert shown[1].endswith(' from alice (unverified): Blocker 🎉 "db": text')
    assert shown[2].endswith(" from alice (unverified): Green")
