"""A fleet of real processes: a hub, and the service that runs commands beside it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import requests

from bus.config import Config
from bus.credentials import Credentials
from tests.conftest import ROOT, RunningHub, wait_until
from tests.fleet import SECRET, settings


class RunningService:
    """`python -m bus exec-service` beside a hub."""

    def __init__(self, hub: RunningHub) -> None:
        self.hub = hub
        self.socket = hub.data_dir / "run" / "exec.sock"
        self.process: subprocess.Popen[bytes] | None = None
        self.output = hub.data_dir.parent / "exec.log"

    @contextmanager
    def started(self, *options: str) -> Iterator[subprocess.Popen[bytes]]:
        """The process, started with these options and ended afterwards."""
        self.start(*options)
        assert self.process is not None
        yield self.process
        self.kill(signal.SIGTERM)

    def start(self, *options: str) -> RunningService:
        with open(self.output, "ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "bus", "exec-service", *options],
                cwd=ROOT,
                env=self.hub.environ,
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        wait_until(self.answers)
        return self

    def answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.output.read_text()
        reply = self.hub.as_("admin", "GET", "/api/containers")
        return bool(reply.status_code == 200)

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        if self.process is not None:
            with suppress(ProcessLookupError):
                self.process.send_signal(how)
            self.process.wait(30)
            self.process = None


class FleetHub(RunningHub):
    """A real hub whose callers are machines."""

    def as_(self, name: str, method: str, path: str, **kwargs: Any) -> requests.Response:
        return requests.request(method, self.url + path, auth=(name, SECRET), timeout=60, **kwargs)

    def exec(self, command: str, **fields: Any) -> requests.Response:
        return self.as_(
            "web1", "POST", "/api/exec", json={"target": "box", "command": command, **fields}
        )


@contextmanager
def running_fleet(folder: Path) -> Iterator[tuple[FleetHub, RunningService, Config]]:
    """A hub and its service, with `admin`, and `web1` that may use `box`; ended afterwards."""
    config = settings(folder)
    credentials = Credentials(config.credentials_file)
    for name, role in (("admin", "admin"), ("web1", "member")):
        credentials.add(name, SECRET, role)
    hub = FleetHub(config.data_dir, BUS_LXC="none")
    hub.start()
    service = RunningService(hub)
    try:
        service.start()
        allow = {"source": "web1", "target": "box", "allow": True}
        assert hub.as_("admin", "POST", "/api/permit", json=allow).status_code == 200
        yield hub, service, config
    finally:
        service.kill(signal.SIGTERM)
        hub.kill()
