"""POST /api/file/read and /api/file/write, over a target that is a folder."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.fleet import Fleet, a_fleet, as_base64
from tests.web.conftest import refusal


@pytest.fixture
def box(fleet: Fleet) -> Path:
    """The folder that is the target; web1 may do everything there."""
    fleet.permit()
    return fleet.folder / "box"


def read(fleet: Fleet, path: str, **fields: Any) -> Any:
    return fleet.web1.post("/api/file/read", json={"target": "box", "path": path, **fields})


def write(fleet: Fleet, path: str, content: str, **fields: Any) -> Any:
    return fleet.web1.post(
        "/api/file/write", json={"target": "box", "path": path, "content": content, **fields}
    )


def test_what_is_written_is_read(fleet: Fleet, box: Path) -> None:
    written = write(fleet, "/deep/er/note", "grüße\n", create_dirs=True, mode="0640").json
    answer = read(fleet, "/deep/er/note").json
    assert (answer["content"], answer["encoding"], answer["mode"], answer["size"]) == (
        "grüße\n",
        "utf-8",
        "0640",
        8,
    )
    assert answer["sha256"] == written["sha256"] == sha256("grüße\n".encode()).hexdigest()
    assert (box / "deep/er/note").read_text() == "grüße\n"


def test_bytes_travel_as_base64(fleet: Fleet, box: Path) -> None:
    data = bytes(range(256)) * 5000
    assert (
        write(fleet, "/blob", as_base64(data), encoding="base64").json["sha256"]
        == sha256(data).hexdigest()
    )
    answer = read(fleet, "/blob").json
    assert (answer["content"], answer["encoding"]) == (as_base64(data), "base64")


def test_a_part_of_a_file(fleet: Fleet, box: Path) -> None:
    (box / "digits").write_text("0123456789")
    answer = read(fleet, "/digits", offset=3, limit=4).json
    assert (answer["content"], answer["offset"], answer["size"]) == ("3456", 3, 10)
    assert answer["sha256"] == sha256(b"0123456789").hexdigest()
    assert read(fleet, "/digits", offset=99).json["content"] == ""


def test_a_write_on_top_of_what_was_read_refuses_a_file_that_changed(
    fleet: Fleet, box: Path
) -> None:
    (box / "note").write_text("mine")
    seen = read(fleet, "/note").json["sha256"]
    (box / "note").write_text("theirs")
    body = refusal(write(fleet, "/note", "new", if_sha256=seen), 409, "file_changed")
    assert body["sha256"] == sha256(b"theirs").hexdigest()
    assert (box / "note").read_text() == "theirs"
    assert write(fleet, "/note", "new", if_sha256=body["sha256"]).status_code == 200
    refusal(write(fleet, "/note", "again", if_sha256=""), 409, "file_changed")
    assert write(fleet, "/fresh", "x", if_sha256="").status_code == 200


def plant_fifo(box: Path) -> None:
    os.mkfifo(box / "thing")


def plant_link(box: Path) -> None:
    (box / "thing").symlink_to("/etc/passwd")


def plant_folder(box: Path) -> None:
    (box / "thing").mkdir()


@pytest.mark.parametrize(
    ("plant", "kind"), [(plant_fifo, "fifo"), (plant_link, "link"), (plant_folder, "folder")]
)
def test_what_is_no_file_is_told_and_neither_read_nor_replaced(
    fleet: Fleet, box: Path, plant: Any, kind: str
) -> None:
    plant(box)
    if kind != "link":  # in a folder that plays a machine, /etc/passwd is not there
        assert refusal(read(fleet, "/thing"), 422, "not_a_file")["type"] == kind
        assert refusal(write(fleet, "/thing", "x"), 422, "not_a_file")["type"] == kind
    else:
        assert read(fleet, "/thing").status_code in (404, 422)
        assert "root" not in read(fleet, "/thing").get_data(as_text=True)


def test_a_file_past_the_cap(tmp_path: Path) -> None:
    with a_fleet(tmp_path, file_max_bytes=1024) as fleet:
        fleet.permit()
        (fleet.folder / "box" / "large").write_bytes(b"x" * 1025)
        body = refusal(read(fleet, "/large"), 413, "too_large")
        assert (body["size"], body["limit"]) == (1025, 1024)
        part = read(fleet, "/large", offset=1000, limit=1024).json
        assert (part["content"], part["size"], part["sha256"]) == ("x" * 25, 1025, None)
        refusal(write(fleet, "/large", "y" * 1025), 413, "too_large")


def test_what_is_not_there(fleet: Fleet, box: Path) -> None:
    refusal(read(fleet, "/nothing"), 404, "no_such_file")
    refusal(write(fleet, "/no/folder/file", "x"), 422, "no_such_folder")
    assert list(box.iterdir()) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"path": "relative"},
        {"path": "/a/../b"},
        {"path": "/a/-rf"},
        {"path": "-rf"},
        {"path": "/a\nb"},
        {"path": "/" + "x" * 4096},
        {"path": 7},
        {"path": "/a", "offset": -1},
        {"path": "/a", "offset": 1.5},
        {"path": "/a", "limit": "1"},
    ],
)
def test_bad_paths_and_numbers_are_refused(fleet: Fleet, box: Path, fields: dict[str, Any]) -> None:
    reply = fleet.web1.post("/api/file/read", json={"target": "box", **fields})
    refusal(reply, 400, "bad_field")


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"content": 7}, "bad_field"),
        ({"content": "%%", "encoding": "base64"}, "bad_field"),
        ({"content": "x", "encoding": "utf-16"}, "bad_field"),
        ({"content": "x", "mode": "999"}, "bad_field"),
        ({"content": "x", "mode": 420}, "bad_field"),
        ({"content": "x", "uid": -1}, "bad_field"),
        ({"content": "x", "uid": "root"}, "bad_field"),
        ({"content": "x", "if_sha256": "ABC"}, "bad_field"),
        ({"content": "x", "create_dirs": "yes"}, "bad_field"),
        ({}, "missing_field"),
        ({"content": "x", "append": True}, "unknown_field"),
    ],
)
def test_a_bad_write_is_refused(fleet: Fleet, box: Path, fields: dict[str, Any], code: str) -> None:
    reply = fleet.web1.post("/api/file/write", json={"target": "box", "path": "/a", **fields})
    refusal(reply, 400, code)
    assert list(box.iterdir()) == []


def test_a_repeated_write_writes_once(fleet: Fleet, box: Path) -> None:
    first = write(fleet, "/note", "one", client_id="k").json
    (box / "note").write_text("changed since")
    again = write(fleet, "/note", "one", client_id="k").json
    assert (again["id"], again["replayed"], again["sha256"]) == (first["id"], True, first["sha256"])
    assert (box / "note").read_text() == "changed since"


def test_reading_and_writing_are_rights_of_their_own(fleet: Fleet) -> None:
    fleet.permit(actions=["file_read"])
    (fleet.folder / "box" / "note").write_text("x")
    assert read(fleet, "/note").status_code == 200
    assert refusal(write(fleet, "/note", "y"), 403, "not_permitted")["action"] == "file_write"
    refusal(fleet.web1.exec("true"), 403, "not_permitted")
