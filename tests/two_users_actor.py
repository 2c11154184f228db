"""A process that does to a data folder what it is told, as another user: `python -m
tests.two_users_actor UID GID FOLDER`.

Commands come as lines on standard input; each is answered by a line of JSON.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bus import create_app, create_hub, create_runner  # noqa: F401  (before the rights to read the code are gone)
from bus.config import Config
from bus.hub.hub import Hub
from bus.log.jsonl import inspection
from bus.log.jsonl.disk import Disk
from bus.log.jsonl.files import compress, sealed
from bus.log.outputs import Results
from bus.model.caller import MEMBER, Caller
from bus.model.messages import Draft
from bus.system import modes

ID = "0" * 25


def post(hub: Hub, sender: str, body: str) -> None:
    made = hub.messages.post(
        Caller("claude", MEMBER), Draft.read({"from": sender, "to": "bob", "body": body})
    )
    hub.presence.note_poll(sender, [made.message["seq"]], 0)


def found(hub: Hub) -> Any:
    with hub.index.reading() as db:
        return db.execute("SELECT count(*) FROM messages").fetchone()[0]


def keep(folder: Path, letter: str) -> Any:
    results = Results(folder / "calls", 1e9)
    results.put(ID + letter, {"by": os.geteuid()})
    return results.get(ID + letter)


def verbs(hub: Hub, folder: Path) -> dict[str, Callable[..., Any]]:
    return {
        "post": lambda sender, body: post(hub, sender, body),
        "read": lambda: [
            record["body"] for _, record in hub.log.read() if record["kind"] == "message"
        ],
        "found": lambda: found(hub),
        "rebuild": hub.index.rebuild,
        "compress": lambda: [
            bool(compress(path, Disk())) for path in sealed(folder).values() if path.suffix != ".gz"
        ],
        "keep": lambda letter: keep(folder, letter),
        "prune": lambda: Results(folder / "calls", -1e9).prune(),
        "readers": lambda: hub.presence.readers(0),
        "settle": lambda: modes.settle(folder),
        "verify": lambda: inspection.verify(folder).as_dict(),
    }


def main() -> None:
    uid, gid, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    os.umask(modes.UMASK)
    hub = create_hub(Config(data_dir=folder, segment_max_bytes=4096))
    does = verbs(hub, folder)
    for line in sys.stdin:
        try:
            name, *arguments = line.split()
            answer: Any = {"ok": does[name](*arguments)}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
