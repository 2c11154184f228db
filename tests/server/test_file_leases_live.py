"""File leases at a real hub with two workers: twenty processes want the same files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bus.model.globs import overlap, parse
from tests.conftest import PASSWORD, USER, RunningHub

pytestmark = pytest.mark.slow

REPO, PROCESSES = "github.com/acme/app", 20
# Any two of these overlap but for the last ones with each other.
WANTED = ["src/**", "src/*/a.py", "**/a.py", "src/web/a.*", "*/web/*", "src/[v-x]eb/a.py", "docs/*"]

# Each asks for one pattern after the other, and releases what it got after a look at the list.
WORKER = """
import json, sys
import requests
url, user, password, me, repo, wanted = sys.argv[1:]
hub, found = requests.Session(), []
hub.auth = user, password
print("ready", flush=True)
sys.stdin.readline()
for round in range(3):
    for path in json.loads(wanted):
        asked = {"holder": me, "repo": repo, "paths": [path], "exclusive": round != 1}
        reply = hub.post(url + "/leases", json=asked, timeout=60)
        found.append(reply.status_code)
        if reply.status_code == 201:
            lease = reply.json()["lease"]
            seen = hub.get(url + "/leases?repo=" + repo, timeout=60).json()["leases"]
            assert lease["id"] in [one["id"] for one in seen], seen
            print(json.dumps(seen), flush=True)
            ended = hub.post(url + "/leases/" + lease["id"] + "/release", timeout=60)
            assert ended.status_code == 200, ended.text
print(json.dumps({"statuses": found}), flush=True)
"""


def conflicting(leases: list[dict[str, object]]) -> list[tuple[object, object]]:
    """The pairs of leases of two holders that must not hold together."""
    return [
        (one, other)
        for at, one in enumerate(leases)
        for other in leases[:at]
        if one["holder"] != other["holder"]
        and (one["exclusive"] or other["exclusive"])
        and any(
            overlap(parse(a), parse(b))
            for a in one["paths"]  # type: ignore[attr-defined]
            for b in other["paths"]  # type: ignore[attr-defined]
        )
    ]


def test_no_two_of_twenty_processes_hold_overlapping_files(hub: RunningHub, tmp_path: Path) -> None:
    started = [
        subprocess.Popen(
            [
                *(sys.executable, "-c", WORKER, hub.url, USER, PASSWORD),
                *(f"box{at}/alpha", REPO, json.dumps(WANTED[at % 7 :] + WANTED[: at % 7])),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for at in range(PROCESSES)
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    statuses: list[int] = []
    for process in started:
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0, output
        *looks, last = map(json.loads, output.splitlines())
        statuses += last["statuses"]
        for look in looks:
            assert conflicting(look) == []
    assert set(statuses) == {201, 409}
    assert statuses.count(201) >= 3
    # And what is in the log, record by record.
    now: dict[str, dict[str, object]] = {}
    for line in (hub.data_dir / "bus.jsonl").read_text().splitlines():
        record = json.loads(line)
        if record["kind"] == "files_leased":
            now[record["lease"]] = record
            assert conflicting(list(now.values())) == []
        elif record["kind"] == "files_released":
            del now[record["lease"]]
    assert now == {}
