"""Commands and files through nginx, the hub and the service that runs commands, all of them
real.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from .harness import ROOT, TOKEN, Answer, Edge, answers, basic, credential_line, running, wait_for

pytestmark = pytest.mark.slow

MIB = 1024 * 1024
ADMIN = basic("admin", TOKEN)
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def server(whole: Edge, tmp_path: Path) -> Iterator[Edge]:
    """A server with one target, `box`, in which the admin may do everything."""
    with (tmp_path / "credentials").open("a") as file:
        file.write(credential_line("admin", TOKEN).replace("\n", ":admin\n"))
    (tmp_path / "box").mkdir()
    (tmp_path / "data" / "targets.toml").write_text(
        f'[box]\ndriver = "local"\nfolder = "{tmp_path / "box"}"\n'
    )
    environ = {
        **os.environ,
        "BUS_DATA_DIR": str(tmp_path / "data"),
        "BUS_LXC": "none",
        "BUS_FSYNC": "never",
    }
    environ |= {"BUS_CREDENTIALS": str(tmp_path / "credentials")}
    command = [sys.executable, "-m", "bus", "exec-service"]
    with running(command, tmp_path / "exec.log", cwd=ROOT, env=environ) as process:
        wait_for(
            lambda: answers(str(tmp_path / "data/run/exec.sock")),
            process,
            f"service, see {tmp_path}/exec.log",
        )
        permission = ask(whole, "/api/permit", source="admin", target="box", allow=True)
        assert permission.status == 200, permission.body
        yield whole


def ask(edge: Edge, route: str, /, **fields: Any) -> Answer:
    return edge.ask("POST", route, json.dumps(fields), JSON, auth=ADMIN)


def test_a_line_of_a_stream_is_here_while_its_command_runs(server: Edge, tmp_path: Path) -> None:
    with closing(server.connect()) as connection:
        # It goes on only when its first line has been seen, so a line held back anywhere would hold
        # this up.
        command = "echo first; while [ ! -e seen ]; do sleep 0.05; done; echo second"
        body = {"target": "box", "command": command, "stream": True, "timeout_s": 15, "cwd": "/"}
        connection.request("POST", "/api/exec", json.dumps(body), {**ADMIN, **JSON})
        answer = connection.getresponse()
        assert (answer.status, answer.headers["Content-Type"]) == (200, "application/x-ndjson")
        lines = [json.loads(answer.readline())]
        while "first" not in json.dumps(lines[-1]):
            lines.append(json.loads(answer.readline()))
        (tmp_path / "box" / "seen").touch()
        rest = [json.loads(line) for line in answer.read().splitlines() if line]
    assert "second" in json.dumps(rest)
    assert rest[-1]["result"]["exitCode"] == 0, rest


def test_the_largest_file_goes_in_and_comes_out(server: Edge) -> None:
    content = os.urandom(8 * MIB)
    written = ask(
        server,
        "/api/file/write",
        target="box",
        path="/big",
        content=base64.b64encode(content).decode(),
        encoding="base64",
    )
    assert written.status == 200, written.body[:500]
    assert written.json["sha256"] == hashlib.sha256(content).hexdigest()
    read = ask(server, "/api/file/read", target="box", path="/big")
    assert base64.b64decode(read.json["content"]) == content


def test_a_command_may_have_as_much_input(server: Edge) -> None:
    given = base64.b64encode(b"x" * (8 * MIB)).decode()
    answer = ask(
        server, "/api/exec", target="box", command="wc -c", stdin=given, stdin_encoding="base64"
    )
    assert (answer.status, answer.json["stdout"].strip()) == (200, str(8 * MIB)), answer.body[:500]
