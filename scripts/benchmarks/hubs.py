"""Servers to measure: the hub as `scripts/run` starts it, and the same gunicorn with an
empty view.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import load

ROOT = Path(__file__).parents[2]
EMPTY = """
from flask import Flask
app = Flask("empty")
app.extensions["bus"] = None
@app.post("/post")
def empty():
    return "ok"
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A process group on a free port of loopback; ended by its process id."""

    def __init__(
        self, command: list[str], folder: Path, environ: dict[str, str], cwd: Path = ROOT
    ) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith("BUS_")
        }
        settings = {
            "BUS_DATA_DIR": str(folder),
            "BUS_LISTEN": f"127.0.0.1:{port}",
            "BUS_USER": load.USER,
            "BUS_PASS": load.PASSWORD,
        }
        self.log = folder.parent / f"{folder.name}.out"
        with open(self.log, "ab") as output:
            self.process = subprocess.Popen(
                command,
                cwd=cwd,
                env={**inherited, **settings, **environ},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def wait(self, data: bytes, within_s: float = 120) -> float:
        """Ask until there is an answer below 500; gives the seconds it took from now."""
        began = time.perf_counter()
        while time.perf_counter() - began < within_s:
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended: {self.log.read_text()}")
            try:
                connection = load.Connection(self.url)
                connection.call(data)
                status = connection.status
                connection.close()
                if status < 500:
                    return time.perf_counter() - began
            except OSError:
                pass
            time.sleep(0.005)
        raise TimeoutError(f"no answer from {self.url} in {within_s} s")

    def workers(self) -> list[int]:
        listing = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self.process.pid)],
            capture_output=True,
            text=True,
            check=False,
        )
        return [int(pid) for pid in listing.stdout.split()]

    def cpu_s(self) -> float:
        """Processor seconds that the workers have used (Linux)."""
        ticks = 0
        for pid in self.workers():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def resident_mb(self) -> float:
        """The largest resident memory of a worker, in MB."""
        sizes = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self.workers()]
        return max(sizes) * os.sysconf("SC_PAGE_SIZE") / 1e6

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)


@contextmanager
def hub(folder: Path, **settings: str) -> Iterator[Server]:
    """The hub on a data folder."""
    server = Server([sys.executable, "-m", "bus", "serve"], folder, settings)
    try:
        server.wait(load.request("GET", "/health"))
        yield server
    finally:
        server.stop()


@contextmanager
def empty_view() -> Iterator[Server]:
    """The same gunicorn, with nothing behind it but an empty Flask view."""
    with scratch() as folder:
        (folder / "empty.py").write_text(EMPTY)
        command = [
            sys.executable,
            "-m",
            "gunicorn",
            "-c",
            "python:bus.server.gunicorn_config",
            "--chdir",
            str(folder),
            "empty:app",
        ]
        server = Server(command, folder / "data", {"PYTHONPATH": str(ROOT)})
        try:
            server.wait(load.post())
            yield server
        finally:
            server.stop()


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder on the disk that holds the repository's own data: /tmp is memory on some
    machines.
    """
    base = ROOT / "data" / "bench"
    base.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=base))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
