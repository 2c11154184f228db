"""A small fleet for tests: a hub in this process, the service that runs commands, and machines with
credentials.

Targets are folders (`box`, `den`) that play machines: the real drivers have their own suite in
tests/runner/drivers.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bus import create_app, create_runner
from bus.config import Config
from bus.hub.hub import Hub
from bus.log.jsonl.disk import Disk
from bus.runner.socket_server import SocketServer
from tests.conftest import PASSWORD, USER, Caller, Clock, basic, opened, wait_until

SECRET = "a secret of this fleet"


class As(Caller):
    """The hub as one user calls it."""

    def __init__(self, app: Any, name: str, secret: str = SECRET) -> None:
        super().__init__(app)
        self.name, self.secret = name, secret

    def call(self, method: str, path: str, **kwargs: Any) -> Any:
        headers = {"Authorization": basic(self.name, self.secret), **kwargs.pop("headers", {})}
        return self.client.open(path, method=method, headers=headers, **kwargs)

    def delete(self, path: str) -> Any:
        return self.call("DELETE", path)

    def exec(self, command: str | None = None, target: str = "box", **fields: Any) -> Any:
        """POST /api/exec."""
        return self.post(
            "/api/exec",
            json={"target": target, **({} if command is None else {"command": command}), **fields},
        )

    def events(self, query: str = "") -> list[dict[str, Any]]:
        """What the feed tells this user."""
        reply = self.get(f"/api/activity?{query}")
        assert reply.status_code == 200, reply.json
        events: list[dict[str, Any]] = reply.json["events"]
        return events


class Fleet:
    """`admin`, the members `web1` and `db1`, the shared user; and the folders that `box` and `den`
    are.
    """

    def __init__(self, folder: Path, app: Any, runner: SocketServer, config: Config) -> None:
        self.folder, self.app, self.runner, self.config = folder, app, runner, config
        self.hub: Hub = app.extensions["bus"]
        self.runner_hub: Hub = runner.service.hub  # its own, as in the runner's process
        self.admin, self.web1, self.db1 = As(app, "admin"), As(app, "web1"), As(app, "db1")
        self.shared = As(app, USER, PASSWORD)

    def permit(
        self, source: str = "web1", target: str = "box", allow: bool = True, **more: Any
    ) -> dict[str, Any]:
        reply = self.admin.post(
            "/api/permit", json={"source": source, "target": target, "allow": allow, **more}
        )
        assert reply.status_code == 200, reply.json
        permission: dict[str, Any] = reply.json["permission"]
        return permission

    def records(self, kind: str) -> list[dict[str, Any]]:
        """The records of one kind in the log."""
        return [record for _, record in self.hub.log.read() if record["kind"] == kind]


def settings(folder: Path, **more: Any) -> Config:
    """The settings of a fleet, with its table of targets and its credentials written."""
    config = Config(
        data_dir=folder / "data",
        fsync="never",
        lock_timeout_s=5,
        keepalive_s=0.2,
        lxc="none",
        **more,
    )
    config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    table = ""
    for name in ("box", "den"):
        (folder / name).mkdir(exist_ok=True)
        table += f'[{name}]\ndriver = "local"\nfolder = "{folder / name}"\n'
    config.targets_file.write_text(table)
    return config


@contextmanager
def a_fleet(
    folder: Path, disk: Disk | None = None, stopped_at: float | None = None, **more: Any
) -> Iterator[Fleet]:
    """A fleet whose service runs in a thread, its log on `disk`; both are ended afterwards.

    With `stopped_at`, that is the time for both.
    """
    config = settings(folder, **more)
    app = create_app(config, clock=Clock(stopped_at))
    credentials = app.extensions["credentials"]
    credentials.add(USER, PASSWORD)
    for name, role in (("admin", "admin"), ("web1", "member"), ("db1", "member")):
        credentials.add(name, SECRET, role)
    runner = create_runner(config, clock=Clock(stopped_at), disk=disk)
    serve = runner._server.serve_forever
    runner._server.serve_forever = lambda poll_interval: serve(poll_interval / 10)  # type: ignore[method-assign]
    thread = threading.Thread(target=runner.serve, daemon=True)
    thread.start()
    try:
        for caller in opened(app):
            assert caller
            yield Fleet(folder, app, runner, config)
    finally:
        runner.stop_soon()
        thread.join(20)
        assert not thread.is_alive()


def is_gone(pid: int) -> bool:
    """Whether a process has ended: it is not there, or nobody has asked after it yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def as_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


__all__ = ["As", "Fleet", "a_fleet", "as_base64", "is_gone", "settings", "wait_until"]
