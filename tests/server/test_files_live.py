"""Files over real sockets, with the hub's real processes: memory, broken connections, a killed hub,
a full disk.
"""

from __future__ import annotations

import hashlib
import http.client
import random
import re
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.conftest import BASIC, RunningHub, wait_until
from tests.faults.tools import mounted

pytestmark = pytest.mark.slow
MIB = 1 << 20
PUT = "/files?name=big.bin&from=alice&to=bob"


def zeros(size: int) -> Iterator[bytes]:
    """So many bytes, a piece at a time."""
    piece = bytes(MIB)
    for at in range(0, size, MIB):
        yield piece[: min(MIB, size - at)]


def send(hub: RunningHub, method: str, path: str, body: Any, **headers: str) -> tuple[int, bytes]:
    """One request with a body that is made as it goes; the status and the answer."""
    connection = http.client.HTTPConnection(str(urlsplit(hub.url).netloc), timeout=120)
    try:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, {"Authorization": BASIC, **given})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def break_off(hub: RunningHub, method: str, path: str, size: int, sent: int, **more: str) -> None:
    """Begin a request with a body of `size`, and hang up when `sent` bytes of it are gone."""
    parts = urlsplit(hub.url)
    head = [f"{method} {path} HTTP/1.1", f"Host: {parts.netloc}", f"Authorization: {BASIC}"]
    head += [f"{name.replace('_', '-')}: {value}" for name, value in more.items()]
    head += [f"Content-Length: {size}", "", ""]
    with socket.create_connection((str(parts.hostname), int(parts.port or 80)), 30) as sock:
        sock.sendall("\r\n".join(head).encode())
        for piece in zeros(sent):
            sock.sendall(piece)


def peak_mb(pid: int) -> float:
    """The most memory that a process has had, in MB."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) / 1024


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and path.name != "lock")


def test_a_gigabyte_that_breaks_at_random_arrives_whole(hub: RunningHub) -> None:
    size, chance = 1024 * MIB, random.Random(1611)
    begun = hub.post("/uploads", json={"name": "big.bin", "size": size}).json()
    url = begun["url"]
    for _ in range(3):
        offset = hub.get(url).json()["offset"]
        sent = offset + chance.randrange(1, (size - offset) // 2)
        break_off(hub, "PATCH", url, size - offset, sent - offset, Upload_Offset=str(offset))
        wait_until(lambda before=offset: hub.get(url).json()["offset"] > before)
        # Until the request that broke off lets go: what had come is written first.
        wait_until(lambda: b"wrong_offset" in send(hub, "PATCH", url, b"", Upload_Offset="0")[1])
    for _ in range(100):
        offset = hub.get(url).json()["offset"]
        headers = {"Upload_Offset": str(offset), "Content_Length": str(size - offset)}
        if send(hub, "PATCH", url, zeros(size - offset), **headers)[0] == 200:
            break
    fields = {"uploads": [begun["id"]], "from": "alice", "to": "bob"}
    (one,) = hub.post("/files", json=fields).json()["attachments"]
    expected = hashlib.sha256()
    for piece in zeros(size):
        expected.update(piece)
    assert (one["size"], one["sha256"]) == (size, expected.hexdigest())
    got = 0
    with hub.get(one["url"], stream=True) as reply:
        for data in reply.iter_content(MIB):
            got += len(data)
    assert got == size
    assert all(peak_mb(pid) < 120 for pid in hub.workers())


def test_a_hub_that_is_killed_in_the_middle_leaves_nothing_half(
    hub_at: Callable[..., RunningHub],
) -> None:
    hub = hub_at()
    files = hub.data_dir / "files"
    with ThreadPoolExecutor() as pool:
        going = pool.submit(break_slowly, hub, 64 * MIB, 8 * MIB)
        wait_until(lambda: any(p.stat().st_size > MIB for p in (files / "uploads").glob("*")))
        hub.kill()
        going.cancel()
    hub.start()
    wait_until(lambda: left(files) == [])
    assert hub.get("/messages").json()["count"] == 0


def break_slowly(hub: RunningHub, size: int, sent: int) -> None:
    """Send the beginning of a file and keep the connection until the hub closes it."""
    parts = urlsplit(hub.url)
    head = (
        f"PUT {PUT} HTTP/1.1\r\nHost: x\r\nAuthorization: {BASIC}\r\nContent-Length: {size}\r\n\r\n"
    )
    with socket.create_connection((str(parts.hostname), int(parts.port or 80)), 30) as sock:
        try:
            sock.sendall(head.encode() + bytes(sent))
            sock.recv(1)
        except OSError:
            return


def test_one_content_sent_by_many_at_once_is_stored_once(
    hub_at: Callable[..., RunningHub],
) -> None:
    hub = hub_at(BUS_ATTACHMENT_UPLOADS="24", BUS_WORKERS="1")
    began = time.monotonic()
    with ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(lambda _: send(hub, "PUT", PUT, bytes(3 * MIB)), range(24)))
    assert [status for status, _ in answers] == [201] * 24
    assert time.monotonic() - began < 30, "they waited for each other"
    assert left(hub.data_dir / "files") == [hashlib.sha256(bytes(3 * MIB)).hexdigest()]
    for message in hub.get("/messages?since=0").json()["messages"]:
        assert hub.get(message["attachments"][0]["url"]).content == bytes(3 * MIB)


def test_verify_reads_the_files(hub: RunningHub) -> None:
    assert send(hub, "PUT", PUT, b"right")[0] == 201
    good = hub.run("verify", "--files")
    assert good.returncode == 0, good.stderr
    # Where it looked: without BUS_FILES_DIR, it could be another folder than the hub's.
    assert f"attachments in {hub.data_dir / 'files'}: 1 read, 0 damaged" in good.stdout
    sum = hashlib.sha256(b"right").hexdigest()
    place = hub.data_dir / "files" / sum[:2] / sum
    place.write_bytes(b"wrong")
    bad = hub.run("verify", "--files")
    assert (bad.returncode, sum in bad.stdout) == (1, True)
    assert hub.run("verify").returncode == 0


def test_more_uploads_at_once_than_one_may_have(hub_at: Callable[..., RunningHub]) -> None:
    hub = hub_at(BUS_ATTACHMENT_UPLOADS="1")
    uploads = hub.data_dir / "files" / "uploads"
    with ThreadPoolExecutor() as pool:
        going = pool.submit(break_slowly, hub, 64 * MIB, 2 * MIB)
        wait_until(lambda: any(path.stat().st_size for path in uploads.glob("*")))
        status, answer = send(hub, "PUT", PUT, b"x")
        assert (status, b'"quota":"uploads"' in answer) == (429, True)
        hub.kill()
        going.cancel()


def test_a_disk_that_fills_takes_no_file_and_keeps_no_rest(
    hub_at: Callable[..., RunningHub], tmp_path: Path
) -> None:
    with mounted("tmpfs", "tmpfs", tmp_path / "small", "size=24m") as disk:
        hub = hub_at(BUS_FILES_DIR=str(disk / "files"))
        status, answer = send(hub, "PUT", PUT, zeros(40 * MIB))  # chunked: its size is not known
        assert (status, b'"error":"no_room"' in answer) == (507, True)
        assert left(disk / "files") == []
        begun = hub.post("/uploads", json={"name": "big", "size": 40 * MIB})
        assert (begun.status_code, begun.json()["error"]) == (507, "no_room")
        assert send(hub, "PUT", PUT, zeros(4 * MIB))[0] == 201
        hub.say("goes on")
        hub.stop()
