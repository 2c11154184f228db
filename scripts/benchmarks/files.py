"""Files: up beside a plain nginx (dav) with `sha256sum` and `sync`, and down beside nginx's GET.

`measure()` gives rows of (what, figure, demanded, met); both sides of a ratio take turns, in this
run. nginx is in front of the hub as on a server, but without TLS on either side.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import hubs, load

Row = tuple[str, str, str, bool | None]

SIZE, TURNS = 256 << 20, 5
_CREDENTIAL = f"{load.USER}:{load.PASSWORD}"
_CONF = """
daemon off; worker_processes 2; pid {dir}/nginx.pid; error_log {dir}/error.log; {user}
events {{ worker_connections 256; }}
http {{
    access_log off; sendfile on; client_max_body_size 0;
    client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/f;
    uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
    upstream hub {{ server {hub}; keepalive 8; }}
    server {{ listen 127.0.0.1:{plain}; root {dir}/dav; dav_methods PUT; }}
    server {{
        listen 127.0.0.1:{front};
        proxy_http_version 1.1; proxy_set_header Connection ""; proxy_request_buffering off;
        proxy_read_timeout 600s;
        location / {{ proxy_pass http://hub; }}
        location /.claude-bus/files/ {{ internal; alias {files}/; max_ranges 1; }}
    }}
}}
"""


def measure() -> list[Row]:
    """All rows; none of them met or missed where there is no nginx with dav, or no curl."""
    if missing := _missing():
        return [(f"15. files: not measured, {missing} is not installed", "-", "", None)]
    with hubs.scratch() as folder:
        files = folder / "files"
        settings = {"BUS_FILES_DIR": str(files), "BUS_ACCEL": "1"}
        file = folder / "big"
        _fill(file)
        with (
            hubs.hub(folder / "data", **settings) as hub,
            _nginx(folder, hub.url.removeprefix("http://"), files) as (plain, front),
        ):
            return _rows(folder, file, plain, front, hub)


def _rows(folder: Path, file: Path, plain: str, front: str, hub: hubs.Server) -> list[Row]:
    stored = folder / "nginx" / "dav" / "big"
    to = "files?name=big&from=alice&to=bob"
    answers: list[str] = []

    def beside() -> None:
        _run("curl", "-sSf", "-T", str(file), f"{plain}/big")
        _run("sha256sum", str(stored))
        _run("sync", str(stored))

    def ours() -> None:
        answers.append(_run("curl", "-sSf", "-u", _CREDENTIAL, "-T", str(file), f"{front}/{to}"))

    up = _in_turns(beside, ours, before=lambda: _forget(folder, stored))
    url = json.loads(answers[-1])["attachments"][0]["url"]
    down = _in_turns(
        lambda: _run("curl", "-sSf", "-o", os.devnull, f"{plain}/big"),
        lambda: _run(
            "curl", "-sSf", "-u", _CREDENTIAL, "-o", os.devnull, f"{front}{url}"
        ),
    )  # fmt: skip
    mib = SIZE >> 20
    return [
        _row("15. a file up / nginx PUT, sha256sum, sync", up, mib),
        _row("15. a file down / nginx GET", down, mib),
        (
            "15. a worker's memory after that, MB",
            f"{hub.resident_mb():.0f}",
            "<= 120",
            hub.resident_mb() <= 120,
        ),
    ]


def _row(what: str, times: tuple[float, float], mib: int) -> Row:
    beside, ours = times
    speed = f"  ({mib / ours:.0f} MiB/s of {mib / beside:.0f} MiB/s)"
    return what, f"{beside / ours:.2f}{speed}", ">= 0.5", beside / ours >= 0.5


def _in_turns(
    beside: Callable[[], object], ours: Callable[[], object], before: Callable[[], None] = int
) -> tuple[float, float]:
    """Return the medians of the seconds of both, asked by turns; the first turn warms."""
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(TURNS + 1):
        before()
        for side, work in zip(times, (beside, ours), strict=True):
            began = time.perf_counter()
            work()
            if turn:
                side.append(time.perf_counter() - began)
    return statistics.median(times[0]), statistics.median(times[1])


def _forget(folder: Path, stored: Path) -> None:
    """Both sides write the file anew: the hub would else know its content."""
    stored.unlink(missing_ok=True)
    for content in (folder / "files").glob("??/*"):
        content.unlink()
    os.sync()


def _fill(file: Path) -> None:
    with file.open("wb") as out:
        piece = os.urandom(1 << 20)
        for _ in range(SIZE >> 20):
            out.write(piece)


def _missing() -> str | None:
    for program in ("nginx", "curl", "sha256sum", "sync"):
        if _which(program) is None:
            return program
    said = subprocess.run(
        [str(_which("nginx")), "-V"], capture_output=True, text=True, check=False
    ).stderr
    return None if "http_dav_module" in said else "nginx with dav (nginx-full)"


def _which(program: str) -> str | None:
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


@contextmanager
def _nginx(folder: Path, hub: str, files: Path) -> Iterator[tuple[str, str]]:
    """nginx on two ports: plain with dav, and in front of the hub; gives both addresses."""
    place = folder / "nginx"
    (place / "dav").mkdir(parents=True)
    ports = {"plain": hubs.free_port(), "front": hubs.free_port()}
    user = "user root;" if os.geteuid() == 0 else ""
    conf = _CONF.format(dir=place, hub=hub, files=files, user=user, **ports)
    (place / "nginx.conf").write_text(conf)
    command = [str(_which("nginx")), "-p", str(place), "-c", str(place / "nginx.conf")]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            plain, front = (f"http://127.0.0.1:{port}" for port in ports.values())
            for _ in range(200):
                if process.poll() is not None:
                    raise RuntimeError(f"nginx ended, see {place}/error.log")
                if subprocess.run(["curl", "-s", plain], capture_output=True, check=False).stdout:
                    break
                time.sleep(0.05)
            yield plain, front
        finally:
            process.terminate()


def _run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
