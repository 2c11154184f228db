"""File leases over HTTP: who works on which files, and when that ends."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from bus.hub import file_leases as hub_file_leases
from bus.model import globs
from tests.fleet import As
from tests.web.conftest import Members, refusal

REPO = "github.com/acme/app"


def ask(caller: As, *paths: str, repo: str = REPO, **fields: Any) -> Any:
    return caller.post("/leases", json={"repo": repo, "paths": list(paths), **fields})


def lease(caller: As, *paths: str, **fields: Any) -> dict[str, Any]:
    """A lease that is new."""
    reply = ask(caller, *paths, **fields)
    assert reply.status_code == 201, reply.json
    found: dict[str, Any] = reply.json["lease"]
    return found


def held(caller: As, *paths: str, repo: str = REPO, holder: str | None = None) -> list[str]:
    """Those of the paths that another holds."""
    query: dict[str, Any] = {"repo": repo, "path": list(paths)}
    if holder is not None:
        query["holder"] = holder
    reply = caller.get("/leases/check", query_string=query)
    assert reply.status_code == 200, reply.json
    assert caller.post("/leases/check", json=query).json == reply.json
    return [one["path"] for one in reply.json["held"]]


def holders(caller: As, query: str = "") -> list[str]:
    return [one["holder"] for one in caller.get(f"/leases?{query}").json["leases"]]


def session(caller: As, name: str, **fields: Any) -> str:
    """The lease of a session on its name."""
    found: str = caller.post("/agents", json={"session": name, **fields}).json["lease"]
    return found


# -- taking --------------------------------------------------------------------------------------


def test_whoever_asks_second_hears_who_has_the_files(members: Members) -> None:
    first = lease(members.web1, "src/auth/", reason="the new login")
    assert (first["holder"], first["repo"], first["paths"]) == ("web1", REPO, ["src/auth/**"])
    assert first["exclusive"] is True
    body = refusal(ask(members.db1, "docs/x.md", "src/*/login.py"), 409, "lease_held")
    assert body["conflicts"] == [first]
    assert body["message"] == (f"web1 holds src/auth/** until {first['until']} (the new login).")
    assert len(members.records("files_leased")) == 1
    lease(members.db1, "src/web/")


@pytest.mark.parametrize(
    "repo",
    [
        "git@github.com:acme/app.git",
        "https://user:secret@GitHub.com/acme/app.git/",
        "ssh://git@github.com:22/acme/app",
        REPO,
    ],
)
def test_a_clone_over_ssh_and_one_over_https_are_one_repository(
    members: Members, repo: str
) -> None:
    lease(members.web1, "a", repo="git@github.com:acme/app.git")
    assert held(members.db1, "a", repo=repo) == ["a"]
    lease(members.db1, "a", repo="github.com/acme/other")
    assert "secret" not in str(members.records("files_leased"))


def test_shared_leases_go_together_and_not_with_an_exclusive_one(members: Members) -> None:
    lease(members.web1, "a", exclusive=False)
    lease(members.db1, "*", exclusive=False)
    assert held(members.admin, "a") == []
    refusal(ask(members.admin, "a"), 409, "lease_held")
    lease(members.admin, "b/x")
    refusal(ask(members.web1, "b/**", exclusive=False), 409, "lease_held")


def test_ones_own_leases_never_stand_in_ones_way(members: Members) -> None:
    lease(members.web1, "src/**")
    lease(members.web1, "src/a.py", exclusive=False)
    assert held(members.web1, "src/a.py") == []
    assert held(members.db1, "src/a.py", "b", "src/ü x.py") == ["src/a.py", "src/ü x.py"]


def test_two_sessions_of_a_machine_are_two_holders(members: Members) -> None:
    session(members.web1, "alpha")
    lease(members.web1, "a", holder="web1/alpha")
    assert held(members.web1, "a") == ["a"]
    assert held(members.web1, "a", holder="web1/alpha") == []
    refusal(ask(members.web1, "a", holder="web1/bravo"), 409, "lease_held")


def test_asking_again_prolongs_the_lease(members: Members) -> None:
    first = lease(members.web1, "a", "b", ttl_s=60)
    members.later(30)
    again = ask(members.web1, "b", "a", ttl_s=60)
    assert again.status_code == 200
    assert again.json["lease"]["id"] == first["id"]
    assert again.json["lease"]["until"] > first["until"]
    assert again.json["lease"]["since"] == first["since"]
    assert len(holders(members.web1)) == 1


def test_nobody_holds_for_another(members: Members) -> None:
    refusal(ask(members.web1, "a", holder="db1"), 403, "not_your_name")
    refusal(ask(members.shared, "a", holder="web1/alpha"), 403, "not_your_name")
    refusal(ask(members.shared, "a"), 400, "missing_field")
    reply = members.web1.get(
        "/leases/check", query_string={"repo": REPO, "path": "a", "holder": "db1"}
    )
    refusal(reply, 403, "not_your_name")
    lease(members.shared, "a", holder="alice")


@pytest.mark.parametrize(
    "fields",
    [
        {"paths": []},
        {"paths": "a"},
        {"paths": ["/etc/passwd"]},
        {"paths": ["../a"]},
        {"paths": ["a//b"]},
        {"paths": ["./a"]},
        {"paths": ["a\n"]},
        {"paths": ["a[b"]},
        {"paths": ["a[z-a]"]},
        {"paths": ["a\\"]},
        {"paths": ["/".join("**" if at % 2 else "a" for at in range(12))]},
        {"paths": ["*/" * 9 + "a"]},
        {"paths": ["?" * 17]},
        {"paths": ["[" + "ab" * 20 + "]"]},
        {"paths": ["a" * 513]},
        {"paths": [f"a{at}" for at in range(33)]},
        {"repo": ".git"},
        {"repo": ""},
        {"ttl_s": 0},
        {"ttl_s": 86_401},
        {"ttl_s": True},
        {"exclusive": 1},
        {"reason": "x" * 201},
        {"reason": "a\x1b[2J"},
    ],
    ids=str,
)
def test_what_is_no_lease_is_refused(members: Members, fields: dict[str, Any]) -> None:
    given = {"repo": REPO, "paths": ["a"], **fields}
    refusal(members.web1.post("/leases", json=given), 400, "bad_field")
    assert members.records("files_leased") == []


def test_one_credential_holds_so_many_paths(
    members: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_file_leases, "MOST_PATHS", 2)
    first = lease(members.web1, "a", holder="web1/alpha")
    lease(members.web1, "b")
    assert refusal(ask(members.web1, "c"), 429, "over_quota")["quota"] == "file_leases"
    assert ask(members.web1, "b").status_code == 200
    members.web1.post(f"/leases/{first['id']}/release")
    lease(members.web1, "c")


def test_patterns_that_take_too_long_to_compare_are_refused(
    members: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_file_leases, "_MOST_STEPS", 100)
    worst = "/".join(["**", *["*a" * 20 + letter for letter in "bcdefgh"], "x"])
    lease(members.web1, worst)
    lease(members.db1, "docs/a.md")
    other = "/".join(["**", *["*a" * 20 + letter for letter in "hgfedcb"], "y"])
    refusal(ask(members.db1, other), 503, "too_costly")


# -- races ---------------------------------------------------------------------------------------


def test_of_many_who_ask_at_once_at_two_workers_one_gets_the_files(
    members: Members, restarted: Members
) -> None:
    barrier = threading.Barrier(8)

    def race(at: int) -> int:
        app = (members, restarted)[at % 2].app
        caller = As(app, "web1")
        barrier.wait()
        status: int = ask(caller, f"src/{at}*", "src/*x", holder=f"web1/s{at}").status_code
        return status

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(race, range(8)))
    assert sorted(statuses) == [201, *[409] * 7]
    assert len(members.records("files_leased")) == 1


def test_a_lease_that_is_decided_by_an_old_look_is_decided_again(
    members: Members, restarted: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other worker takes the files between this one's look and its record."""
    append, asked = members.hub.journal.append, []

    def late(block: Any) -> Any:
        if not asked:
            asked.append(ask(restarted.db1, "a/*").status_code)
        return append(block)

    monkeypatch.setattr(members.hub.journal, "append", late)
    refusal(ask(members.web1, "a/b"), 409, "lease_held")
    assert asked == [201]
    assert [record["holder"] for record in members.records("files_leased")] == ["db1"]


def test_a_session_that_leaves_while_it_asks_holds_nothing(
    members: Members, restarted: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    session(members.web1, "alpha")
    append, left = members.hub.journal.append, []

    def late(block: Any) -> Any:
        if not left:
            left.append(restarted.web1.delete("/agents/web1/alpha").status_code)
        return append(block)

    monkeypatch.setattr(members.hub.journal, "append", late)
    refusal(ask(members.web1, "a", holder="web1/alpha"), 409, "lease_lost")
    assert left == [200]
    assert holders(members.db1) == []


# -- ending --------------------------------------------------------------------------------------


def test_a_lease_ends_when_its_time_is_over(members: Members) -> None:
    first = lease(members.web1, "a", ttl_s=60)
    members.later(59)
    assert held(members.db1, "a") == ["a"]
    members.later(61)
    assert held(members.db1, "a") == holders(members.db1) == []
    refusal(members.web1.post(f"/leases/{first['id']}/renew"), 404, "no_such_lease")
    lease(members.db1, "a")


def test_renewing_prolongs_it_from_now(members: Members, restarted: Members) -> None:
    first = lease(members.web1, "a", ttl_s=60)
    members.later(50)
    again = members.web1.post(f"/leases/{first['id']}/renew").json["lease"]
    assert again == {**first, "until": again["until"]}
    assert again["until"] > first["until"]
    members.later(100)
    assert held(members.db1, "a") == ["a"]
    members.web1.post(f"/leases/{first['id'].lower()}/renew", json={"ttl_s": 1})
    members.later(102)
    assert held(members.db1, "a") == []
    refusal(members.db1.post(f"/leases/{first['id']}/renew"), 404, "no_such_lease")


def test_releasing_sets_the_files_free(members: Members) -> None:
    first = lease(members.web1, "a")
    refusal(members.db1.post(f"/leases/{first['id']}/release"), 403, "not_your_name")
    refusal(members.db1.post(f"/leases/{first['id']}/renew"), 403, "not_your_name")
    assert members.web1.post(f"/leases/{first['id']}/release").json["lease"] == first
    refusal(members.web1.post(f"/leases/{first['id']}/release"), 404, "no_such_lease")
    refusal(members.web1.post("/leases/nothing/release"), 400, "bad_field")
    lease(members.db1, "a")
    assert members.web1.get("/messages?unread_by=web1").json["messages"] == []


def test_an_admin_ends_anothers_lease_and_the_holder_is_told(members: Members) -> None:
    first = lease(members.web1, "a", "b", "c", "d")
    refusal(members.admin.post(f"/leases/{first['id']}/renew"), 403, "not_your_name")
    given = {"reason": "the release waits"}
    assert members.admin.post(f"/leases/{first['id']}/release", json=given).status_code == 200
    told = members.web1.get("/messages?unread_by=web1&tag=lease").json["messages"]
    assert [(one["from"], one["body"]) for one in told] == [
        ("bus", f"admin ended your lease on a, b, c and 1 more in {REPO}: the release waits")
    ]
    assert told[0]["data"]["lease"]["id"] == first["id"]
    lease(members.db1, "a")


def test_a_lease_ends_with_its_session(members: Members) -> None:
    session(members.web1, "alpha")
    lease(members.web1, "a", holder="web1/alpha")
    lease(members.web1, "b")
    members.web1.delete("/agents/web1/alpha")
    assert holders(members.db1) == ["web1"]
    session(members.web1, "alpha")
    assert holders(members.db1) == ["web1"]


def test_a_takeover_of_the_name_takes_no_files_over(members: Members) -> None:
    old = session(members.web1, "alpha", pid=7)
    lease(members.web1, "a", holder="web1/alpha")
    session(members.web1, "alpha", pid=7)  # a renewal changes nothing
    assert holders(members.db1) == ["web1/alpha"]
    session(members.web1, "alpha", pid=8, takeover=[old])
    assert holders(members.db1) == []


def test_who_registers_a_name_gets_no_files_that_were_held_under_it(members: Members) -> None:
    lease(members.web1, "a", holder="web1/alpha")
    session(members.web1, "alpha")
    assert holders(members.db1) == []


def test_a_silent_session_keeps_nobody_from_its_files(members: Members) -> None:
    session(members.web1, "alpha", pid=7)
    first = lease(members.web1, "a", holder="web1/alpha")
    members.later(59)
    refusal(ask(members.db1, "a"), 409, "lease_held")
    members.later(61)
    assert held(members.db1, "a") == holders(members.db1) == []
    lease(members.db1, "a")
    assert holders(members.web1) == ["db1"]
    members.web1.post("/agents/web1/alpha/heartbeat")
    refusal(members.web1.post(f"/leases/{first['id']}/renew"), 404, "no_such_lease")
    refusal(ask(members.web1, "a", holder="web1/alpha"), 409, "lease_held")


def test_a_session_that_comes_back_in_time_keeps_its_files(
    members: Members, restarted: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It renews after another one has seen it silent, and before that one's record."""
    session(members.web1, "alpha", pid=7)
    first = lease(members.web1, "a", holder="web1/alpha")
    members.later(61)
    append, renewed = members.hub.journal.append, []

    def late(block: Any) -> Any:
        if not renewed:
            restarted.later(61)
            restarted.web1.post("/agents/web1/alpha/heartbeat")
            reply = restarted.web1.post(f"/leases/{first['id']}/renew")
            renewed.append(reply.status_code)
        return append(block)

    monkeypatch.setattr(members.hub.journal, "append", late)
    refusal(ask(members.db1, "a"), 409, "lease_held")
    assert renewed == [200]
    assert holders(members.db1) == ["web1/alpha"]


def test_a_revoked_credential_holds_nothing_nor_does_its_successor(members: Members) -> None:
    lease(members.web1, "a", holder="web1/alpha")
    lease(members.db1, "b")
    members.admin.post("/api/credentials/revoke", json={"name": "web1"})
    assert holders(members.admin) == ["db1"]
    made = members.admin.post("/api/invites", json={"name": "web1"})
    assert made.status_code == 201
    lease(members.db1, "a")


def test_what_the_shared_user_holds_under_a_name_is_not_the_machines_that_gets_it(
    members: Members,
) -> None:
    lease(members.shared, "a", holder="web2/alpha")
    members.hub.credentials.note_change("add", "web2", "member", "admin")
    assert holders(members.db1) == []


def test_the_log_alone_gives_the_same_leases_again(members: Members) -> None:
    session(members.web1, "alpha")
    kept = lease(members.web1, "a", holder="web1/alpha")
    members.web1.post(f"/leases/{kept['id']}/renew", json={"ttl_s": 600})
    over = lease(members.db1, "b", exclusive=False)
    members.db1.post(f"/leases/{over['id']}/release")
    before = members.db1.get("/leases").json
    assert [one["id"] for one in before["leases"]] == [kept["id"]]
    members.hub.index.rebuild()
    assert members.db1.get("/leases").json == before
    refusal(ask(members.db1, "a"), 409, "lease_held")


# -- looking -------------------------------------------------------------------------------------


def test_leases_are_listed_by_repository_and_holder_page_by_page(members: Members) -> None:
    first, second = lease(members.web1, "a"), lease(members.db1, "b")
    lease(members.db1, "a", repo="other")
    assert holders(members.web1, "repo=https://github.com/acme/app") == ["web1", "db1"]
    assert holders(members.web1, "holder=db1") == ["db1", "db1"]
    page = members.web1.get("/leases?limit=1").json
    assert (page["leases"], page["has_more"], page["next"]) == ([first], True, first["id"])
    page = members.web1.get(f"/leases?limit=1&after={first['id']}").json
    assert page["leases"] == [second]


def test_leases_as_text_are_a_harmless_line_each(members: Members) -> None:
    assert members.web1.get("/leases?format=text").get_data(as_text=True) == "no leases\n"
    first = lease(members.web1, "a b", "c", exclusive=False, reason="why")
    text = members.web1.get("/leases?format=text").get_data(as_text=True)
    assert text == f"{first['id']} web1 {REPO} a b c shared until {first['until']} (why)\n"


def test_a_path_is_checked_as_it_is(members: Members) -> None:
    lease(members.web1, r"app/\[id\]/*.tsx", "caf\u00e9")
    asked = ["app/[id]/page.tsx", "app/i/page.tsx", "app/[id]/a/b.tsx", "cafe\u0301", "x\ny"]
    assert held(members.db1, *asked) == [asked[0], asked[3]]
    for path in ("/a", "a/../b", ""):
        refusal(
            members.db1.get("/leases/check", query_string={"repo": REPO, "path": path}),
            400,
            "bad_field",
        )
    refusal(members.db1.get(f"/leases/check?repo={REPO}"), 400, "bad_field")
    refusal(members.db1.get("/leases/check?path=a"), 400, "bad_field")
    refusal(members.db1.get("/leases/check?path=%ff"), 400, "bad_field")
    refusal(members.db1.get(f"/leases/check?repo={REPO}&paths=a"), 400, "unknown_field")


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("src/auth/login.py", "src/auth/login.py"),
        ("src/auth/", "src/auth/login.py"),
        ("src/*/login.py", "src/auth/login.py"),
        ("s[a-z]c/auth/*", "src/auth/login.py"),
        ("**/login.py", "src/auth/login.py"),
        ("**", "src/auth/login.py"),
        ("cafe\u0301/*", "caf\u00e9/menu.md"),
        ("a/\\[b\\]/*", "a/[b]/c"),
        ("deep/**", "/".join(["deep", *"abcdefghij" * 10])),
    ],
)
def test_the_lease_that_counts_is_found_among_many(
    members: Members, pattern: str, path: str
) -> None:
    if not pattern.startswith("**"):
        lease(members.web1, *(f"other/m{number}/**" for number in range(32)))
    mine = lease(members.admin, "docs/**", pattern)
    assert path in held(members.db1, "nothing", path)
    members.admin.post(f"/leases/{mine['id']}/release", json={})
    assert held(members.db1, "nothing", path) == []


def test_five_hundred_paths_are_checked_at_once(members: Members) -> None:
    lease(members.web1, "src/**/*.py", "docs/?.md")
    paths = [f"src/{at}/a.{'py' if at % 2 else 'js'}" for at in range(500)]
    reply = members.db1.post("/leases/check", json={"repo": REPO, "path": paths})
    assert len(reply.json["held"]) == 250
    more = {"repo": REPO, "path": [*paths, "x"]}
    refusal(members.db1.post("/leases/check", json=more), 400, "bad_field")


def test_limits_in_the_docs_are_those_of_the_code() -> None:
    assert (globs.MAX_PATTERN, globs.MAX_WILD, globs.MAX_DEEP, globs.MAX_CLASSES) == (512, 8, 4, 16)
    assert hub_file_leases.MOST_PATHS == 256
