"""Make this folder: what a hub left whose records had the kinds `asked`, `done`, `question` … .

It ran once, at the last commit before they were renamed (`git log -- bus/model/records.py`), from
the root of that checkout: `python make.py FOLDER`. The test that reads the folder is
tests/server/test_old_data.py.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.conftest import wait_until
from tests.fleet import As, Fleet, a_fleet


def fill(fleet: Fleet) -> None:
    """Do everything of which a hub keeps a record."""
    admin, web1, db1, shared = fleet.admin, fleet.web1, fleet.db1, fleet.shared
    fleet.permit(actions=["exec"])
    fleet.permit("db1", "box", approval="required")
    fleet.permit("db1", "den", expires_in_s=3600)
    fleet.permit("*", "den", allow=False)
    said = {"to": "db1", "body": "first", "tags": ["build"], "client_id": "k1"}
    first = web1.post("/post", json=said).json
    db1.post("/post", json={"to": "web1", "body": "yes", "in_reply_to": first["id"]})
    shared.post(
        "/post", json={"from": "alice", "to": "any", "body": "to all", "priority": "urgent"}
    )
    web1.post("/post", json={"to": ["db1", "admin"], "body": "brief", "expires_in_s": 60})
    web1.post("/post", json={"to": "db1", "body": "lasting", "expires_in_s": 86400})
    for number in range(5):
        web1.post("/post", json={"from": "web1/alpha", "to": "admin", "body": f"part {number}"})
    db1.post(f"/ack/{first['id']}", json={"reader": "db1"})
    admin.post("/ack", json={"reader": "admin", "through": 14})
    web1.exec("echo kept", client_id="call 1")
    web1.exec("exit 3")
    web1.exec("true", target="den")
    web1.exec("echo streamed", stream=True).get_data()
    web1.post("/api/file/write", json={"target": "box", "path": "a", "content": "text"})
    states = ("allow", "deny", "used", "pending")
    for state in states:
        asked = db1.exec(f"cat # {state}", stdin=f"{state}\n").json
        if state in ("allow", "used"):
            admin.post(f"/api/approvals/{asked['id']}", json={"allow": True})
        if state == "deny":
            admin.post(f"/api/approvals/{asked['id']}", json={"allow": False})
        if state == "used":
            db1.exec(f"cat # {state}", stdin=f"{state}\n")
    secret = admin.post("/api/credentials", json={"name": "gone"}).json["secret"]
    gone = As(fleet.app, "gone", secret)
    gone.post("/post", json={"to": "web1", "body": "from one who left", "client_id": "k1"})
    gone.exec("true")
    admin.post("/api/credentials/revoke", json={"name": "gone"})
    asked = {"call": "0" * 26, "type": "exec", "from": "web1", "target": "box", "digest": "0" * 64}
    log = fleet.app.extensions["bus"].log
    log.append([{"kind": "asked", "auth": "web1", **asked, "command": "sleep 99"}])


def answers(fleet: Fleet) -> dict[str, Any]:
    """What the hub answers to whom: `{"web1 /inbox?reader=web1": {…}, …}`."""
    paths = {
        "shared": ("/messages/5/receipts",),  # first: what is read below counts as fetched
        "web1": ("/inbox?reader=web1", "/messages?limit=50", "/messages?unread_by=web1"),
        "db1": ("/messages?unread_by=db1", "/api/permissions", "/api/approvals"),
        "admin": (
            "/search?q=part",
            "/messages?unread_by=admin",
            "/messages?tag=build",
            "/api/permissions",
            "/api/approvals",
            "/api/activity?hours=24&limit=100",
            "/api/permissions/check?source=web1&target=box&action=exec",
        ),
    }
    found = {}
    for name, wanted in paths.items():
        for path in wanted:
            reply = getattr(fleet, name).get(path)
            assert reply.status_code == 200, (path, reply.json)
            found[f"{name} {path}"] = reply.json
    calls = fleet.admin.events("type=exec&limit=100")
    for call in calls:
        path = f"/api/exec/{call['id']}"
        reply = fleet.admin.get(path)
        found[f"admin {path}"] = {"status": reply.status_code, "body": reply.json}
    return found


def main(to: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        with a_fleet(Path(folder)) as fleet:
            fill(fleet)
        with a_fleet(Path(folder)) as fleet:  # a restart: what was running is `unknown`
            wait_until(
                lambda: "unknown" in [event["result"] for event in fleet.admin.events("type=exec")]
            )
        data = Path(folder) / "data"
        for name in ("bus.jsonl", "credentials", "index.db", "presence.db"):
            shutil.copy(data / name, to / name)
        for name in ("calls", "questions"):
            shutil.copytree(data / name, to / name, dirs_exist_ok=True)
        with a_fleet(Path(folder)) as fleet:
            told = {"now": time.time(), "answers": answers(fleet)}
        (to / "answers.json").write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
