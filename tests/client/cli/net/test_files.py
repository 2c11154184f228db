"""The commands that read and write files of a target."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from busclient._cli import exits
from tests.client.cli.net.conftest import Cli
from tests.client.stubnet import ASKED, FACTS, StubNet, error


def test_a_file_that_is_too_large_to_be_read_whole_is_shown_in_parts(
    cli: Cli, net: StubNet
) -> None:
    content = "0123456789"

    def part(asked: Any) -> Any:
        if "limit" not in asked.fields:
            return error(413, "too_large", size=10, limit=4)
        at = asked.fields["offset"]
        return {
            **FACTS,
            "sha256": None,
            "content": content[at : at + asked.fields["limit"]],
            "encoding": "utf-8",
            "offset": at,
        }

    net.on("POST /api/file/read", part)
    assert cli("cat", "db1:/x").out == content
    assert [sent.get("offset") for sent in net.bodies("/api/file/read")] == [None, 0, 4, 8]
    content = "01234"  # it has become shorter meanwhile
    ran = cli("cat", "db1:/x")
    assert (ran.code, "shorter" in ran.err) == (exits.REFUSED, True)


def test_files_go_both_ways_byte_for_byte(cli: Cli, net: StubNet, tmp_path: Path) -> None:
    net.on("POST /api/file/read", {**FACTS, "content": "AP8K", "encoding": "base64", "offset": 0})
    assert (
        cli("cat", "db1:/bin/x", "--offset", "1", "--limit", "0").out.encode(
            errors="surrogateescape"
        )
        == b"\0\xff\n"
    )
    assert net.bodies("/api/file/read")[0] == {
        "from": "web1",
        "target": "db1",
        "path": "/bin/x",
        "offset": 1,
        "limit": 0,
    }
    assert json.loads(cli("cat", "db1:/x", "--json").out)["content"] == "AP8K"
    net.on("POST /api/file/write", FACTS)
    path = tmp_path / "local"
    path.write_bytes(b"\0\xff\r\n")
    assert (
        cli("put", "db1:/x:y", str(path), "--mode", "0600", "--create-dirs", "--if-sha256", "").code
        == 0
    )
    assert "wrote db1:/x, 4 bytes" in cli("put", "db1:/x", stdin=b"text\r\n").out
    assert (
        cli(
            "put",
            "db1:/x",
            "-",
            stdin=b"\xff",
        ).code
        == 0
    )
    first, second, third = net.bodies("/api/file/write")
    assert (first["path"], first["content"], first["encoding"], first["mode"]) == (
        "/x:y",
        "AP8NCg==",
        "base64",
        "0600",
    )
    assert (first["create_dirs"], first["if_sha256"]) == (True, "")
    assert (
        second["content"],
        second["encoding"],
        "create_dirs" in second,
        "if_sha256" in second,
    ) == (
        "text\r\n",
        "utf-8",
        False,
        False,
    )
    assert third["content"] == "/w=="


@pytest.mark.parametrize("place", ["db1", "db1:", ":/x", "db1:relative", "/x"])
def test_a_place_must_be_one(cli: Cli, place: str) -> None:
    assert cli("cat", place).code == cli("put", place).code == exits.USAGE


def test_files_have_the_ordinary_exit_codes(cli: Cli, net: StubNet) -> None:
    net.on(
        "POST /api/file/read",
        error(404, "no_such_file"),
        error(422, "not_a_file", type="fifo"),
        ASKED,
        error(403, "not_permitted"),
    )
    expected = [exits.NOT_FOUND, exits.REFUSED, exits.ASKED, exits.CREDENTIAL]
    assert [cli("cat", "db1:/x").code for _ in expected] == expected
    net.on(
        "POST /api/file/write", error(409, "file_changed", sha256=None), error(502, "target_failed")
    )
    assert [cli("put", "db1:/x").code for _ in range(2)] == [exits.REFUSED, exits.UNKNOWN]
    assert cli("put", "db1:/x", "/no/such/file").code == exits.LOCAL
