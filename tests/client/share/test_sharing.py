"""bus share and bus get: a file beside the hub, by way of a mount, of ssh and of rclone."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from busclient._cli import exits
from busclient._share.pointer import stored_name
from tests.client.conftest import Ran
from tests.client.share.conftest import There
from tests.conftest import Caller

Cli = Callable[..., Ran]
CONTENT = bytes(range(256)) * 300


def sum_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    file = tmp_path / "build.zip"
    file.write_bytes(CONTENT)
    file.chmod(0o600)
    return file


@pytest.fixture
def into(tmp_path: Path) -> Path:
    folder = tmp_path / "into"
    folder.mkdir()
    return folder


def pointing(there: There, content: bytes = CONTENT, **fields: Any) -> dict[str, Any]:
    """The data of a message that points at a file, which is not there yet."""
    pointer = {
        "name": "build.zip",
        "size": len(content),
        "sha256": sum_of(content),
        "type": "application/zip",
        "via": there.via,
    }
    return {"attachments": [{**pointer, **fields}]}


def say(bus: Caller, data: dict[str, Any]) -> str:
    return str(bus.say("a file", sender="mallory", to="bob", data=data)["seq"])


def test_a_file_goes_there_and_comes_back(
    bus: Caller, cli: Cli, there: There, source: Path, into: Path
) -> None:
    ran = cli("share", str(source), "alice", "Build dropped", "--tag", "build")
    assert ran.code == 0, ran
    message = bus.get("/messages/1").json
    file = stored_name("build.zip", sum_of(CONTENT))
    assert message["data"] == pointing(there)
    assert (message["to"], message["tags"]) == ("alice", ["build"])
    assert message["body"] == (
        f"Build dropped\n\n[file] build.zip, {len(CONTENT):,} bytes, sha256 {sum_of(CONTENT)}:"
        f" {there.via}/{file}"
    )
    assert there.names() == [file]
    assert (there.folder / file).stat().st_mode & 0o444 == 0o444  # others are to read it
    got = cli("get", "1", "-o", str(into), "--json")
    assert got.code == 0, got
    assert json.loads(got.out)["file"] == str(into / "build.zip")
    assert [path.name for path in into.iterdir()] == ["build.zip"]
    assert (into / "build.zip").read_bytes() == CONTENT


def test_the_same_file_again_is_the_same_file(
    bus: Caller, cli: Cli, there: There, source: Path, into: Path
) -> None:
    for _ in range(2):
        assert cli("share", str(source), "alice", "--key", "k").code == 0
        assert cli("get", "1", "-o", str(into)).code == 0
    assert there.names() == [stored_name("build.zip", sum_of(CONTENT))]
    assert bus.get("/messages").json["count"] == 1


def test_no_other_file_there_is_overwritten(
    bus: Caller, cli: Cli, there: There, source: Path
) -> None:
    other = there.folder / stored_name("build.zip", sum_of(CONTENT))
    other.write_bytes(b"of another")
    ran = cli("share", str(source), "alice")
    assert ran.code == exits.LOCAL, ran
    assert other.read_bytes() == b"of another"
    assert there.names() == [other.name]
    assert bus.get("/messages").json["count"] == 0


def test_a_name_is_only_a_name(
    bus: Caller, cli: Cli, there: There, into: Path, tmp_path: Path
) -> None:
    check_name("-nas:a\n'b\" $(touch x)[a-z]*?ä", cli, there, into, tmp_path)


@pytest.mark.parametrize("there", ["dir"], indirect=True)
@pytest.mark.parametrize("name", ["-rf", "nas:x", ".bashrc", "~", "a\u202eb", "ä" * 120])
def test_odd_names(
    bus: Caller, cli: Cli, there: There, into: Path, tmp_path: Path, name: str
) -> None:
    check_name(name, cli, there, into, tmp_path)


def check_name(name: str, cli: Cli, there: There, into: Path, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"odd")
    assert cli("share", "--", str(tmp_path / name), "alice").code == 0
    assert cli("get", "1", "-o", str(into)).code == 0
    (got,) = into.iterdir()
    assert got.read_bytes() == b"odd"
    assert got.name.isprintable() and got.name[0] not in ".-~" and ":" not in got.name
    assert len(there.names()) == 1


@pytest.mark.parametrize("more", [b"", b"x" * 5_000_000], ids=["other", "longer"])
def test_another_file_than_the_message_says_is_thrown_away(
    bus: Caller, cli: Cli, there: There, into: Path, more: bytes
) -> None:
    file = there.folder / stored_name("build.zip", sum_of(CONTENT))
    file.write_bytes(CONTENT[:-1] + b"?" + more)
    ran = cli("get", say(bus, pointing(there)), "-o", str(into))
    assert ran.code == exits.LOCAL
    assert "its size or its sum" in ran.err
    assert list(into.iterdir()) == []


def test_what_is_not_there_is_told(bus: Caller, cli: Cli, there: There, into: Path) -> None:
    ran = cli("get", say(bus, pointing(there)), "-o", str(into))
    assert ran.code == exits.LOCAL, ran
    assert list(into.iterdir()) == []
    if there.via.startswith("dir:"):
        assert "no longer has" in ran.err and "mounted" not in ran.err
    there.folder.rmdir()
    if there.via.startswith("dir:"):
        assert "mounted" in cli("get", say(bus, pointing(there)), "-o", str(into)).err
    (into / "f").write_bytes(b"x")
    ran = cli("share", str(into / "f"), "alice")
    if not there.via.startswith("rclone:"):  # which makes the folder
        assert ran.code == exits.LOCAL, ran
        assert there.via.partition(":")[0] in ran.err


@pytest.mark.parametrize("there", ["dir"], indirect=True)
class TestHostile:
    """A pointer is another's word: what is in my settings counts, and only that."""

    @pytest.mark.parametrize(
        "via",
        ["dir:/etc", "scp:evil:/x", "rclone:other:x", "{via}/..", "{via}/sub", "{via}/", "file:x",
         "scp:-oProxyCommand=touch x:/x"],
    )  # fmt: skip
    def test_only_from_places_that_the_reader_allows(
        self, bus: Caller, cli: Cli, there: There, into: Path, via: str
    ) -> None:
        data = pointing(there, via=via.format(via=there.via))
        ran = cli("get", say(bus, data), "-o", str(into))
        assert ran.code == exits.SETTINGS, ran
        assert "BUS_SHARE_FROM" in ran.err
        assert list(into.iterdir()) == []

    def test_a_list_of_places_to_fetch_from(
        self,
        bus: Caller,
        cli: Cli,
        there: There,
        source: Path,
        into: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        assert cli("share", str(source), "alice").code == 0
        monkeypatch.setenv("BUS_SHARE_FROM", "dir:/elsewhere, scp:web1:/x")
        assert cli("get", "1", "-o", str(into)).code == exits.SETTINGS
        monkeypatch.setenv("BUS_SHARE_FROM", f"dir:/elsewhere,{there.via}")
        assert cli("get", "1", "-o", str(into)).code == 0

    @pytest.mark.parametrize(
        "fields",
        [{"size": -1}, {"size": True}, {"size": "1"}, {"size": 1 << 60}, {"sha256": "x"},
         {"sha256": "../" * 21 + "x"}, {"name": 7}, {"name": None}, {"via": ["dir:/"]},
         {"via": "x" * 4000}],
    )  # fmt: skip
    def test_a_pointer_that_is_none(
        self, bus: Caller, cli: Cli, there: There, into: Path, fields: dict[str, Any]
    ) -> None:
        ran = cli("get", say(bus, pointing(there, **fields)), "-o", str(into))
        assert ran.code == exits.REFUSED, ran
        assert list(into.iterdir()) == []

    @pytest.mark.parametrize("name", ["../../x", "/etc/x", "..", "a/../../x", "..\\x", "", "\0"])
    def test_nothing_is_written_outside(
        self, bus: Caller, cli: Cli, there: There, into: Path, name: str
    ) -> None:
        data = pointing(there, name=name) if name != "\0" else pointing(there, name="\x1b]0;\x07x")
        seq = say(bus, data)
        told = data["attachments"][0]["name"]
        from busclient._share.pointer import clean_name

        (there.folder / stored_name(clean_name(told), sum_of(CONTENT))).write_bytes(CONTENT)
        before = set(into.parent.iterdir())
        assert cli("get", seq, "-o", str(into)).code == 0
        assert len(list(into.iterdir())) == 1
        assert set(into.parent.iterdir()) == before

    def test_no_link_there_is_followed(
        self, bus: Caller, cli: Cli, there: There, source: Path, into: Path
    ) -> None:
        (there.folder / stored_name("build.zip", sum_of(CONTENT))).symlink_to(source)
        assert cli("get", say(bus, pointing(there)), "-o", str(into)).code == exits.LOCAL
        (there.folder / stored_name("build.zip", sum_of(CONTENT))).unlink()
        os.mkfifo(there.folder / stored_name("build.zip", sum_of(CONTENT)))
        assert cli("get", say(bus, pointing(there)), "-o", str(into)).code == exits.LOCAL

    def test_no_file_here_is_replaced(
        self, bus: Caller, cli: Cli, there: There, source: Path, into: Path
    ) -> None:
        assert cli("share", str(source), "alice").code == 0
        (into / "build.zip").write_bytes(b"mine")
        ran = cli("get", "1", "-o", str(into))
        assert ran.code == exits.LOCAL and "already" in ran.err
        assert (into / "build.zip").read_bytes() == b"mine"
        (into / "build.zip").unlink()
        (into / "build.zip").symlink_to(into / "nothing")
        assert cli("get", "1", "-o", str(into)).code == exits.LOCAL
        assert not (into / "nothing").exists()

    def test_more_than_the_disk_has(self, bus: Caller, cli: Cli, there: There, into: Path) -> None:
        ran = cli("get", say(bus, pointing(there, size=1 << 50)), "-o", str(into))
        assert ran.code == exits.LOCAL and "no room" in ran.err

    def test_a_message_without_a_file(
        self, bus: Caller, cli: Cli, there: There, into: Path
    ) -> None:
        for data in ({}, {"attachments": "x"}, {"attachments": [1, {"id": "x"}]}):
            ran = cli("get", say(bus, data), "-o", str(into))
            assert ran.code == exits.NOT_FOUND, ran
        assert cli("get", say(bus, pointing(there)), "-o", str(into / "none")).code == exits.LOCAL


@pytest.mark.parametrize("there", ["dir"], indirect=True)
class TestSharing:
    @pytest.mark.parametrize(
        "via",
        ["", "x", "ftp:host:/x", "scp:host", "scp:host:relative", "scp:-oProxyCommand=x:/x",
         "scp::/x", "rclone::sftp,host=x:", "rclone:-v:x", "rclone:x", "dir:relative",
         "dir:/a/../b", "dir:/a\nb", "dir:/a\\b", "scp:a b:/x", "scp:a@-b:/x"],
    )  # fmt: skip
    def test_what_is_no_place(
        self, bus: Caller, cli: Cli, there: There, source: Path, via: str
    ) -> None:
        ran = cli("share", str(source), f"--via={via}", "alice")
        assert ran.code == exits.SETTINGS, ran
        assert bus.get("/messages").json["count"] == 0

    def test_without_a_place(
        self, cli: Cli, there: There, source: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("BUS_SHARE")
        ran = cli("share", str(source), "alice")
        assert ran.code == exits.SETTINGS and "--via" in ran.err

    def test_what_is_no_file(self, cli: Cli, there: There, tmp_path: Path) -> None:
        assert "zip it" in cli("share", str(tmp_path), "alice").err
        assert cli("share", str(tmp_path / "none"), "alice").code == exits.LOCAL

    def test_a_file_that_changes_meanwhile(
        self, bus: Caller, cli: Cli, there: There, source: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from busclient._share import folder

        def growing(given: Any, kept: Any, most: int) -> int:
            with source.open("ab") as file:
                file.write(b"more")
            return copied(given, kept, most)

        copied = folder.copied
        monkeypatch.setattr(folder, "copied", growing)
        ran = cli("share", str(source), "alice")
        assert ran.code == exits.LOCAL and "changed" in ran.err
        assert there.names() == []

    def test_a_mount_without_hard_links(
        self, cli: Cli, there: There, source: Path, into: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def no_links(*_: Any, **__: Any) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(os, "link", no_links)
        assert cli("share", str(source), "alice").code == 0
        assert cli("get", "1", "-o", str(into)).code == 0
        other = there.folder / stored_name("build.zip", sum_of(CONTENT))
        other.write_bytes(b"of another")
        assert cli("share", str(source), "alice").code == exits.LOCAL
        assert other.read_bytes() == b"of another"


@pytest.mark.slow
def test_a_host_that_is_not_there_is_told(cli: Cli, source: Path) -> None:
    ran = cli("share", str(source), "--via", "scp:nohost.invalid:/x", "alice")
    assert ran.code == exits.LOCAL and "nohost.invalid:" in ran.err.replace("scp:nohost", "")


@pytest.mark.slow
@pytest.mark.parametrize("program", ["sftp", "rclone"])
def test_a_program_that_is_not_there(
    cli: Cli, home: Path, source: Path, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    monkeypatch.setenv("PATH", str(home))
    via = {"sftp": "scp:web1:/x", "rclone": "rclone:nas:x"}[program]
    ran = cli("share", str(source), "--via", via, "alice")
    assert ran.code == exits.LOCAL and f"no `{program}`" in ran.err
