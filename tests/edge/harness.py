"""What the edge tests stand on: processes that end with their block, a client, the shipped nginx
file made local.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONF = ROOT / "nginx" / "claude-bus.conf"
USER, TOKEN = "claude", "edge-test-token"

WRAPPER = """
daemon off; worker_processes 2; {user} pid {dir}/nginx.pid; error_log {dir}/start.log notice;
events {{ worker_connections 1024; }}
http {{
    client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;
    gzip on; gzip_types *; gzip_min_length 1;
    {http}
    include {dir}/claude-bus.conf;
}}
"""


def tool(name: str) -> str:
    """The path of a program; its absence skips a test here and fails it in CI."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if found is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"{name} is not installed")
    return found


def told_by(command: list[Any], **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, whatever that is; with what it printed."""
    return subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=120, **options
    )


def wait_for(
    condition: Callable[[], Any], process: subprocess.Popen[Any], what: str, deadline_s: float = 30
) -> Any:
    """What `condition` gives once that is true.

    Fails when `process` ends before, or at the deadline.
    """
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        if found := condition():
            return found
        try:
            process.wait(
                timeout=0.02
            )  # the pause between two looks, over at once when the process dies
        except subprocess.TimeoutExpired:
            continue
        break
    ended = f"ended with {process.returncode}" if process.poll() is not None else "not in time"
    pytest.fail(f"{what}: {ended}")


def answers(address: str | tuple[str, int]) -> bool:
    """Whether somebody listens at a (host, port) or at the path of a unix socket."""
    with socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET) as probe:
        return probe.connect_ex(address) == 0


@contextmanager
def running(command: list[str], log: Path, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is ended with the block."""
    with (
        log.open("wb") as out,
        subprocess.Popen(command, stdout=out, stderr=out, **options) as process,
    ):
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()


def credential_line(user: str, token: str) -> str:
    """A line of the credential file, `user:{SSHA}base64(sha1(token + salt) + salt)`."""
    salt = b"8 bytes!"
    digest = hashlib.sha1(token.encode() + salt).digest()
    return f"{user}:{{SSHA}}{base64.b64encode(digest + salt).decode()}\n"


def basic(user: str, token: str) -> dict[str, str]:
    """The header of HTTP basic auth."""
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{token}".encode()).decode()}


@dataclass
class Answer:
    """One HTTP answer. `headers` has lower-case names; a repeated header is joined with a comma."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Edge:
    """A running nginx. Requests carry the good credential unless told otherwise."""

    https: int
    http: int
    dir: Path
    process: subprocess.Popen[bytes]
    signed_in: dict[str, str] = field(default_factory=lambda: basic(USER, TOKEN))

    def connect(self, source: str = "127.0.0.1") -> http.client.HTTPSConnection:
        """A TLS connection from this local address; the certificate is our own, so it is not
        checked.
        """
        trust = ssl._create_unverified_context()
        return http.client.HTTPSConnection(
            "127.0.0.1", self.https, timeout=20, context=trust, source_address=(source, 0)
        )

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | str | Iterator[bytes] | None = None,
        headers: dict[str, str] | None = None,
        *,
        auth: dict[str, str] | None = None,
        on: http.client.HTTPConnection | None = None,
    ) -> Answer:
        """One request, on a connection of its own unless `on` is given.

        `auth={}` sends no credential.
        """
        connection = on or self.connect()
        sent = {**(self.signed_in if auth is None else auth), **(headers or {})}
        try:
            connection.request(method, path, body, sent)
            got = connection.getresponse()
            joined: dict[str, str] = {}
            for name, value in got.getheaders():
                joined[name.lower()] = (
                    f"{joined[name.lower()]}, {value}" if name.lower() in joined else value
                )
            return Answer(got.status, joined, got.read())
        finally:
            if on is None:
                connection.close()

    def post(self, body: str, **fields: Any) -> Answer:
        """Post one message to `any`."""
        message = {"from": "edge-test", "body": body, **fields}
        return self.ask("POST", "/post", json.dumps(message), {"Content-Type": "application/json"})

    @property
    def logs(self) -> str:
        return "".join(
            (self.dir / f"claude-bus.{name}.log").read_text() for name in ("access", "error")
        )


def derive(folder: Path, hub_socket: Path, https: int, http_port: int) -> str:
    """The shipped file with only its ports and paths exchanged."""
    text = CONF.read_text()
    for shipped, ours in {
        "    listen [::]:80;\n": "",
        "    listen [::]:443 ssl;\n": "",
        "listen 80;": f"listen 127.0.0.1:{http_port};",
        "listen 443 ssl;": f"listen 127.0.0.1:{https} ssl;",
        "/run/claude-bus/hub.sock": str(hub_socket),
        "/etc/claude-bus/credentials": str(folder / "credentials"),
        "/etc/ssl/claude-bus/": f"{folder}/",
        "/var/log/nginx/": f"{folder}/",
        "/var/www/claude-bus-acme": str(folder / "acme"),
        "/var/lib/claude-bus-attachments/": f"{folder}/files/",
    }.items():
        assert shipped in text, f"{CONF.name} has no {shipped!r} any more"
        text = text.replace(shipped, ours)
    told = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    assert not [line for line in told if " /etc/" in line or " /var/" in line or ":/run/" in line]
    return text
