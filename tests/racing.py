"""Processes that call a hub at the same moment, for what must be decided once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

from tests.conftest import PASSWORD, USER, RunningHub, basic

# A process that calls once it is told to, and prints what it got.
_CALLER = """
import sys, urllib.error, urllib.request
url, credential, method, said = sys.argv[1:]
request = urllib.request.Request(url, said.encode(), {"Authorization": credential}, method=method)
print("ready", flush=True)
sys.stdin.readline()
try:
    reply = urllib.request.urlopen(request, timeout=60)
except urllib.error.HTTPError as error:
    reply = error
print(reply.status, reply.read().decode())
"""


class Call(NamedTuple):
    """What one process asks."""

    path: str
    fields: Mapping[str, Any]
    method: str = "POST"


def race(hub: RunningHub, calls: Mapping[str, Call]) -> dict[str, tuple[int, Any]]:
    """Let a process for each name call at once; what each got: status and body."""
    runners = {
        name: subprocess.Popen(
            [
                *(sys.executable, "-c", _CALLER, hub.url + call.path),
                *(basic(USER, PASSWORD), call.method, json.dumps(call.fields)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name, call in calls.items()
    }
    for runner in runners.values():
        assert runner.stdout is not None
        assert runner.stdout.readline() == "ready\n"
    for runner in runners.values():
        assert runner.stdin is not None
        runner.stdin.write("\n")
        runner.stdin.flush()
    found = {}
    for name, runner in runners.items():
        output, _ = runner.communicate(timeout=90)
        status, _, body = output.partition(" ")
        found[name] = (int(status), json.loads(body))
    return found
