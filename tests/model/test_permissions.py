"""Which permission decides."""

from __future__ import annotations

from typing import Any

import pytest

from bus.model.permissions import Rule, decide, plain_words


def rule(source: str, target: str, allow: bool = True, **more: Any) -> Rule:
    return Rule(source, target, more.pop("action", "exec"), allow, **more)


@pytest.mark.parametrize(
    ("rules", "allowed"),
    [
        ([], False),
        ([rule("web1", "box")], True),
        ([rule("*", "box")], True),
        ([rule("web1", "*")], True),
        ([rule("*", "*")], True),
        ([rule("web2", "box"), rule("web1", "den")], False),
        ([rule("box", "web1"), rule("box", "*"), rule("*", "web1")], False),
        ([rule("web1", "box", action="file_read")], False),
        ([rule("*", "*"), rule("web1", "box", False)], False),
        ([rule("*", "*", False), rule("web1", "box")], True),
        ([rule("*", "*", False), rule("*", "box")], True),
        ([rule("web1", "*", False), rule("web1", "box")], True),
        ([rule("web1", "*"), rule("*", "box", False)], False),
        ([rule("web1", "*", False), rule("*", "box")], False),
    ],
)
def test_the_most_specific_wins_and_a_deny_beats_an_allow(rules: list[Rule], allowed: bool) -> None:
    assert decide(rules, "web1", "box", "exec").allowed is allowed
    assert decide(list(reversed(rules)), "web1", "box", "exec").allowed is allowed


def test_two_allows_of_one_reach_both_hold() -> None:
    some, asking = rule("web1", "*", commands=(("git", "status"),)), rule("*", "box", approval=True)
    for rules in ([some, asking], [asking, some]):
        assert not decide(rules, "web1", "box", "exec", {"argv": ["ls"]}).allowed
        decision = decide(rules, "web1", "box", "exec", {"argv": ["git", "status"]})
        assert decision.allowed
        assert decision.approval


GIT = [rule("web1", "box", commands=(("git", "status"), ("uptime",)))]


@pytest.mark.parametrize(
    ("request_", "allowed"),
    [
        ({"argv": ["git", "status"]}, True),
        ({"argv": ["git", "status", "-s", "; rm -rf /"]}, True),
        ({"argv": ["git", "push"]}, False),
        ({"argv": ["gitk", "status"]}, False),
        ({"argv": ["git"]}, False),
        ({"argv": ["uptime"]}, True),
        ({"argv": ["bash", "-c", "uptime"]}, True),
        ({"argv": ["bash", "-c", "git  status -s"]}, True),
        ({"argv": ["bash", "-c", "git status; id"]}, False),
        ({"argv": ["bash", "-c", "git status && id"]}, False),
        ({"argv": ["bash", "-c", "git status $(id)"]}, False),
        ({"argv": ["bash", "-c", "git status `id`"]}, False),
        ({"argv": ["bash", "-c", "git status\nid"]}, False),
        ({"argv": ["bash", "-c", "git status | sh"]}, False),
        ({"argv": ["bash", "-c", "git status > /etc/passwd"]}, False),
        ({"argv": ["bash", "-c", "git status *"]}, False),
        ({"argv": ["bash", "-c", "GIT_PAGER=id git status"]}, False),
        ({"argv": ["bash", "-c", "uptime", "x"]}, False),
        ({"argv": ["bash", "-lc", "uptime"]}, False),
        ({"argv": ["/usr/bin/uptime"]}, False),
        ({"argv": ["uptime"], "env": {"PATH": "/tmp"}}, False),
        ({"argv": ["uptime"], "user": "root"}, False),
        ({"argv": ["uptime"], "cwd": "/tmp"}, True),
    ],
)
def test_a_permission_for_some_commands(request_: dict[str, Any], allowed: bool) -> None:
    assert decide(GIT, "web1", "box", "exec", request_).allowed is allowed


def test_words_are_compared_only_where_a_shell_has_nothing_to_do() -> None:
    assert plain_words(["bash", "-c", "a b=c /d:e@f%+,-g"]) == ["a", "b=c", "/d:e@f%+,-g"]
    for char in "~*?[]{}!#$&|;<>()\"'`\\\n\t^":
        assert plain_words(["bash", "-c", f"a {char}"]) is None
