"""`bus lease`, `bus unlease`, `bus leases`, and the library behind them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from busclient import Bus, FileLeaseHeld, NotFound
from tests.client.conftest import Ran
from tests.client.repositories import Repo

Make = Callable[..., Bus]
Cli = Callable[..., Ran]
REPO = "github.com/acme/app"


@pytest.fixture
def repo(home: Path, monkeypatch: pytest.MonkeyPatch) -> Repo:
    made = Repo.made(home / "app", {"HOME": str(home)})
    monkeypatch.chdir(made.root)
    return made


def test_the_library_takes_prolongs_and_ends_leases(client: Make) -> None:
    alice, bob = client("alice"), client("bob")
    mine = alice.lease("src/", "docs/*.md", repo=REPO, ttl_s=600, reason="the new login")
    assert (mine.holder, mine.paths, mine.exclusive) == ("alice", ("src/**", "docs/*.md"), True)
    assert alice.lease("src/", "docs/*.md", repo=REPO, reason="the new login").id == mine.id
    assert alice.renew_lease(mine, 60).id == mine.id
    with pytest.raises(FileLeaseHeld) as held:
        bob.lease("src/a.py", repo=REPO)
    assert [one["holder"] for one in held.value.conflicts] == ["alice"]
    assert bob.lease_check("src/a.py", "other.py", repo=REPO).keys() == {"src/a.py"}
    assert alice.lease_check("src/a.py", repo=REPO) == {}
    shared = bob.lease("notes", repo="other", exclusive=False)
    assert [one.id for one in bob.leases()] == [mine.id, shared.id]
    assert bob.leases(repo=REPO, holder="bob") == []
    assert alice.unlease(mine.id).id == mine.id
    with pytest.raises(NotFound):
        alice.unlease(mine)
    assert bob.lease("src/a.py", repo=REPO).holder == "bob"


def test_many_paths_are_checked_in_parts(client: Make) -> None:
    client("alice").lease("**/7*.py", repo=REPO)
    paths = [f"src/{number}.py" for number in range(1_100)]
    held = client("bob").lease_check(*paths, repo=REPO)
    assert set(held) == {path for path in paths if path.startswith("src/7")}


def test_the_commands_find_the_repository(cli: Cli, client: Make, repo: Repo) -> None:
    taken = cli("lease", "src", "docs/b.md", "--ttl", "2h", "--reason", "the new login")
    assert taken.code == 0, taken.err
    assert taken.out.startswith("bob holds src/** docs/b.md until ")
    (known,) = client("alice").leases()
    assert (known.repo, known.paths) == (REPO, ("src/**", "docs/b.md"))
    head, row = cli("leases").out.splitlines()
    assert head.split() == ["HOLDER", "REPO", "PATHS", "UNTIL", "REASON", "ID"]
    assert row.startswith("bob") and "the new login" in row
    assert cli("unlease", "docs/b.md").out == f"ended src/** docs/b.md ({known.id})\n"
    assert cli("leases").out == "no leases\n"
    client("alice").lease("src/a.py", repo="https://github.com/acme/app")
    refused = cli("lease", "src")
    assert (refused.code, refused.out) == (7, "")
    assert "alice holds src/a.py until" in refused.err
    assert "--shared" in refused.err and "exclusive" not in refused.err
    assert cli("lease", "src/*.md", "--shared", "--json").code == 0
    told = json.loads(cli("leases", "--mine", "--json").out)
    assert [one["exclusive"] for one in told["leases"]] == [False]
    assert cli("unlease", "--all").out.startswith("ended src/*.md (")


def test_leases_of_another_repository_and_of_no_repository(
    cli: Cli, client: Make, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    assert cli("lease", "src").code == 2
    assert cli("lease", "src/", "--repo", REPO).code == 0
    assert cli("leases", "--repo", "other").out == "no leases\n"
    (known,) = client("alice").leases(repo=REPO)
    assert known.paths == ("src/**",)
    assert cli("unlease").code == cli("unlease", "src", "--all").code == 2
    assert cli("unlease", "src/", "--repo", REPO).code == 0
    assert cli("unlease", known.id).code == 6


def test_outside_of_the_repository_is_no_path(cli: Cli, repo: Repo) -> None:
    refused = cli("lease", "../other")
    assert refused.code == 2
    assert "is not in the repository" in refused.err


@pytest.mark.parametrize("more", [(), ("--repo", REPO)])
def test_an_empty_path_is_not_the_whole_folder(
    cli: Cli, client: Make, repo: Repo, more: tuple[str, ...]
) -> None:
    for words in (("lease", ""), ("lease", "src", ""), ("unlease", "")):
        refused = cli(*words, *more)
        assert refused.code == 2
        assert "A PATH is empty" in refused.err
    assert client("alice").leases() == []


@pytest.mark.parametrize("ttl", ["40d", "0", "0.5s"])
def test_a_time_that_no_lease_lasts_is_said_as_it_is_given(cli: Cli, repo: Repo, ttl: str) -> None:
    refused = cli("lease", "src", "--ttl", ttl)
    assert refused.code == 2
    assert "--ttl" in refused.err and "1s to 24h" in refused.err
