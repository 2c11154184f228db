"""Callers of each role, for tests of who may do what over HTTP."""

from __future__ import annotations

from typing import Any

from bus.config import Config
from bus.credentials import Credentials
from bus.model.caller import ADMIN, HUMAN, MEMBER, WATCHER
from tests.conftest import BASIC, Caller, basic

SECRET = "a secret of the tests"
KEYS = {
    **{name: basic(name, SECRET) for name in ("web1", "boss", "human/chas")},
    "claude": BASIC,
}


WATCHER_KEY = basic("prometheus", SECRET)  # not among KEYS: it may do nothing that they may


def add_callers(config: Config) -> None:
    """Save the credentials of the machine `web1`, of the admin `boss`, of a person and of who
    watches the hub.
    """
    credentials = Credentials(config.credentials_file)
    credentials.add("web1", SECRET, MEMBER)
    credentials.add("boss", SECRET, ADMIN)
    credentials.add("human/chas", SECRET, HUMAN)
    credentials.add("prometheus", SECRET, WATCHER)


def ask(fleet: Caller, who: str, method: str, path: str, **kwargs: Any) -> Any:
    headers = {"Authorization": KEYS.get(who, who), **kwargs.pop("headers", {})}
    return fleet.client.open(path, method=method, headers=headers, **kwargs)


def invited(fleet: Caller, name: str = "web2", **fields: Any) -> str:
    """The Authorization header of a fresh invite."""
    reply = ask(fleet, "boss", "POST", "/api/invites", json={"name": name, **fields})
    assert reply.status_code == 201, reply.json
    short, _, secret = reply.json["code"].partition(".")
    return basic(f"invite~{short}", secret)
