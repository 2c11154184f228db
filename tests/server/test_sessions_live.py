"""Three hundred sessions behind one credential, at a real hub."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tests.conftest import RunningHub, wait_until

pytestmark = pytest.mark.slow
SESSIONS = 300
Mail = tuple[str, int, str]  # a session, the last message that it has seen, what it was woken with


class Machine:
    """A machine that calls with its own credential."""

    def __init__(self, hub: RunningHub, name: str) -> None:
        self.url = hub.url
        made = hub.run("credential", "add", name, "--json")
        self.auth = (name, json.loads(made.stdout)["secret"])

    def call(self, method: str, path: str, **given: Any) -> Any:
        reply = requests.request(method, self.url + path, auth=self.auth, timeout=120, **given)
        assert reply.status_code in (200, 201), (reply.status_code, reply.text)
        return reply.json()

    def hook(self, name: str, event: str) -> dict[str, Any]:
        sent = {"hook_event_name": event, "session_id": name}
        found: dict[str, Any] = self.call(
            "POST", f"/hooks/claude-code?name={name}&within_ms=10000", json=sent
        )
        return found

    def woken(self, name: str, since: int) -> Mail:
        """Wait as `bus wait-for-mail` does, and ask what to wake the session with."""
        while True:
            query = f"unread_by={name}&machine=1&since={since}&wait=20"
            found = self.call("GET", f"/messages?{query}")["messages"]
            if found:
                return name, found[-1]["seq"], str(self.hook(name, "BusWake")["text"])


def test_three_hundred_sessions_of_a_machine_are_each_woken_with_their_own_mail(
    hub: RunningHub,
) -> None:
    box, other = Machine(hub, "box"), Machine(hub, "other")

    def began(pid: int) -> str:
        place = {"host": "h", "cwd": f"/srv/{pid}", "pid": pid, "started": f"boot {pid}"}
        name = str(box.call("POST", "/agents", json=place)["name"])
        box.hook(name, "SessionStart")
        return name

    with ThreadPoolExecutor(8) as few, ThreadPoolExecutor(SESSIONS) as many:
        names = list(few.map(began, range(1, SESSIONS + 1)))
        assert len(set(names)) == SESSIONS

        def all_woken(since: dict[str, int], post: Callable[[], Any]) -> list[Mail]:
            waiters = [many.submit(box.woken, name, since[name]) for name in names]
            wait_until(lambda: hub.get("/health").json()["waiting"] >= SESSIONS, 60)
            post()
            return [waiter.result(120) for waiter in waiters]

        def each() -> None:
            def send(name: str) -> Any:
                return other.call("POST", "/post", json={"to": name, "body": f"only for {name}"})

            list(few.map(send, names))

        def everybody() -> None:
            fields = {"to": "any", "body": "the house is on fire", "priority": "urgent"}
            other.call("POST", "/post", json=fields)

        woken = all_woken(dict.fromkeys(names, 0), each)
        for name, _, text in woken:
            assert re.findall(r"^  (.*)$", text, re.M) == [f"only for {name}"]
        for _, _, text in all_woken({name: seq for name, seq, _ in woken}, everybody):
            assert re.findall(r"^  (.*)$", text, re.M) == ["the house is on fire"]
