"""`bus send`, `bus get`, `send_file`, `get_file`: what breaks goes on, and no name is a path."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from busclient import Bus, BusError, LocalTrouble, NotFound
from busclient._agents import attachments
from busclient._agents.attachments import local_names
from busclient._cli import exits
from tests.client.doors import Door, LightDoor

DATA = bytes(range(256)) * 10_000  # three parts


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "build.bin"
    path.write_bytes(DATA)
    return path


@pytest.fixture
def sent(client: Callable[..., Bus], file: Path) -> int:
    """The seq of a message with the file."""
    posted = client("alice").send_file(file, to="bob")
    assert posted.message is not None
    return posted.message.seq


def test_a_file_goes_to_another(client: Callable[..., Bus], file: Path, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    posted = client("alice").send_file(
        file, to="bob", body="dropped", tags=["b"], progress=lambda *step: told.append(step)
    )
    assert posted.message is not None
    assert (posted.message.body, posted.message.tags) == ("dropped", ("b",))
    assert told[0] == ("build.bin", 0, len(DATA))
    assert told[-1] == ("build.bin", len(DATA), len(DATA))
    (place,) = client("bob").get_file(posted.message.seq, tmp_path / "down")
    assert place == tmp_path / "down" / "build.bin"
    assert place.read_bytes() == DATA
    assert [path.name for path in place.parent.iterdir()] == ["build.bin"]
    (one,) = posted.message.attachments
    assert (one.name, one.size) == ("build.bin", len(DATA))
    assert one.sha256 == hashlib.sha256(DATA).hexdigest()


@pytest.mark.parametrize("trouble", ["away", "lost", 502, 429])
@pytest.mark.parametrize("at", range(5))
def test_what_breaks_goes_on(
    client: Callable[..., Bus], door: Door | LightDoor, file: Path, trouble: Any, at: int
) -> None:
    if at > 0 and trouble == 429:
        return  # a proxy's, without the hub's code: as 502
    door.troubles.extend([None] * at + [trouble])
    posted = client("alice").send_file(file, to="bob")
    assert posted.message is not None
    assert posted.message.attachments[0].sha256 == hashlib.sha256(DATA).hexdigest()
    assert len(client("bob").messages(to="bob")) == 1


def test_another_process_goes_on_with_it(
    client: Callable[..., Bus],
    door: Door | LightDoor,
    file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(attachments, "_GIVE_UP_S", 0)
    door.troubles.extend([None, None, "away"])
    with pytest.raises(BusError):
        client("alice").send_file(file, to="bob", remember=tmp_path / "notes")
    begun = [call for call in door.calls if call == "POST /uploads"]
    posted = client("alice").send_file(file, to="bob", remember=tmp_path / "notes")
    assert posted.message is not None
    assert [call for call in door.calls if call == "POST /uploads"] == begun
    assert list((tmp_path / "notes").iterdir()) == []


def test_a_note_of_an_upload_that_is_gone_does_no_harm(
    client: Callable[..., Bus], door: Door | LightDoor, file: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(attachments, "_GIVE_UP_S", 0)
    door.troubles.extend([None, "away"])
    with pytest.raises(BusError):
        client("alice").send_file(file, to="bob", remember=tmp_path / "notes")
    (note,) = (tmp_path / "notes").iterdir()
    for text in ('{"id":"01M8FWXRQWQDY0JASEA8BQ5H47"}', "[]", "{", ""):
        note.write_text(text)
        assert client("alice").send_file(file, remember=tmp_path / "notes").message is not None


def test_a_download_goes_on(
    client: Callable[..., Bus], door: Door | LightDoor, sent: int, tmp_path: Path
) -> None:
    sum = hashlib.sha256(DATA).hexdigest()
    folder = tmp_path / "down"
    folder.mkdir()
    part = folder / f".bus-{sum[:32]}.part"
    part.write_bytes(DATA[:1_000_000])
    door.troubles.extend([None, "away", 502, None])
    (place,) = client("bob").get_file(sent, folder)
    assert place.read_bytes() == DATA
    assert not part.exists()


def test_what_came_wrong_is_not_kept(client: Callable[..., Bus], sent: int, tmp_path: Path) -> None:
    folder = tmp_path / "down"
    folder.mkdir()
    sum = hashlib.sha256(DATA).hexdigest()
    (folder / f".bus-{sum[:32]}.part").write_bytes(b"something else")
    with pytest.raises(BusError, match="another sum"):
        client("bob").get_file(sent, folder)
    assert list(folder.iterdir()) == []
    assert client("bob").get_file(sent, folder)[0].read_bytes() == DATA


def test_another_file_is_never_replaced_without_force(
    client: Callable[..., Bus], sent: int, tmp_path: Path
) -> None:
    folder = tmp_path / "down"
    (place,) = client("bob").get_file(sent, folder)
    before = place.stat().st_mtime_ns
    assert client("bob").get_file(sent, folder) == [place]
    assert place.stat().st_mtime_ns == before
    place.write_text("mine")
    with pytest.raises(LocalTrouble, match="another file"):
        client("bob").get_file(sent, folder)
    assert place.read_text() == "mine"
    client("bob").get_file(sent, folder, force=True)
    assert place.read_bytes() == DATA
    place.unlink()
    place.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LocalTrouble):
        client("bob").get_file(sent, folder)
    assert not (tmp_path / "elsewhere").exists()


def test_a_message_without_files(client: Callable[..., Bus]) -> None:
    posted = client("alice").post("hello", to="bob")
    assert posted.message is not None
    with pytest.raises(NotFound, match="no files"):
        client("bob").get_file(posted.message)


@pytest.mark.parametrize(
    ("name", "local"),
    [
        ("build.zip", "build.zip"),
        ("../../etc/passwd", "__.._etc_passwd"),
        ("..\\..\\x", "__.._x"),
        (".bashrc", "_bashrc"),
        ("-rf", "_-rf"),
        ("NUL", "_NUL"),
        ("com1.txt", "_com1.txt"),
        ("a:b?.txt", "a_b_.txt"),
        ("a. . ", "a"),
        ("...", "_"),
        ("a\x1b[31m\n", "a_[31m_"),
        ("é" * 127 + ".txt", "é" * 118 + ".txt"),
    ],
)
def test_a_name_stays_in_its_folder(name: str, local: str) -> None:
    (found,) = local_names([name])
    assert found == local
    assert Path(found).name == found
    assert len(found.encode()) <= 240


def test_names_that_are_alike_are_told_apart() -> None:
    assert local_names(["a.txt", "A.txt", "a.txt"]) == ["a.txt", "A (2).txt", "a (3).txt"]


# -- the commands --------------------------------------------------------------------------------


def test_send_and_get(cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("alpha")
    (tmp_path / "b.txt").write_text("beta")
    ran = cli("send", "a.txt", "b.txt", "bob", "two files")
    assert ran.code == 0, ran.err
    assert ran.out.startswith("posted 1 (")
    assert "FILE a.txt 5 B FILE b.txt 4 B `bus get 1`" in cli("read", "1").out
    (tmp_path / "down").mkdir()
    got = cli("get", "1", "-o", "down")
    assert got.code == 0, got.err
    assert (tmp_path / "down" / "b.txt").read_text() == "beta"
    assert "down/a.txt 5 bytes, its sum is right" in got.out
    (tmp_path / "down" / "a.txt").write_text("other")
    refused = cli("get", "1", "-o", "down")
    assert refused.code != 0
    assert "--force" in refused.err
    assert cli("get", "1", "-o", "down", "--force").code == 0
    (tmp_path / "odd 2.txt").write_text("x")
    assert cli("send", "odd 2.txt", "bob").code == 0
    assert '"down/odd 2.txt" 1 bytes' in cli("get", "2", "-o", "down").out
    nowhere = cli("get", "1", "-o", "other")
    assert nowhere.code == exits.LOCAL and "mkdir" in nowhere.err and "None" not in nowhere.err


def test_what_is_gone_leaves_nothing_in_the_folder(
    cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("alpha")
    assert cli("send", "a.txt", "bob").code == 0
    assert cli("retract", "1").code == 0
    (tmp_path / "down").mkdir()
    assert cli("get", "1", "-o", "down").code == exits.NOT_FOUND
    assert list((tmp_path / "down").iterdir()) == []


@pytest.mark.parametrize(
    "words", [("nothing.txt", "bob"), (".", "bob"), ("a.txt", "bob", "text", "more")]
)
def test_send_says_what_is_no_file(
    cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("alpha")
    ran = cli("send", *words)
    assert ran.code == 2
    assert "Files come first" in ran.err


def test_a_text_that_is_too_long_is_told_the_command(cli: Any) -> None:
    ran = cli("post", "bob", "x" * 65_537)
    assert "`bus send FILE TO TEXT`" in ran.err
