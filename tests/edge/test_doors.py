"""Who gets where on a server: the hub, the service that runs commands, nginx, and everybody else,
as users of their own.

The folders get the owners and modes that the units, the tmpfiles file and scripts/install-server
name, with user ids in the place of names: this machine need not know the users, and is not changed.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from bus.credentials import Credentials

from .harness import ROOT, answers, running, told_by, tool, wait_for

pytestmark = pytest.mark.slow

# Like /etc/passwd and /etc/group after scripts/install-server; test_install.py holds it to these
# memberships.
GROUPS = {"claude-bus": 41810, "claude-bus-web": 41811, "www-data": 41812, "nobody": 41813}
USERS = {
    "claude-bus": (41801, "claude-bus", []),
    "claude-bus-exec": (41802, "claude-bus", ["claude-bus-web"]),
    "www-data": (41803, "www-data", ["claude-bus-web"]),
    "nobody": (41804, "nobody", []),
}
SECRET = "a secret of the doors"


PACKAGES = str(Path(orjson.__file__).parents[1])


def interpreter() -> str:
    """A Python that any user may run, with the packages of this one; that of a venv may be in
    root's home.
    """
    code = (
        "import sys, gevent, gunicorn, orjson; assert sys.version_info[:2] =="
        f" {sys.version_info[:2]}"
    )
    for found in (sys.executable, "/usr/bin/python3"):
        try:
            told = told_by(
                [found, "-c", code], cwd=ROOT, env={"PYTHONPATH": PACKAGES}, **identity("nobody")
            )
        except OSError:
            continue
        if told.returncode == 0:
            return found
    reason = f"no Python that every user may run, or they may not enter {ROOT}"
    return str((pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason))


def identity(user: str) -> dict[str, object]:
    """What makes a process this user's."""
    uid, group, more = USERS[user]
    return {"user": uid, "group": GROUPS[group], "extra_groups": [GROUPS[name] for name in more]}


def can(server: Server, user: str, code: str) -> bool:
    """Whether this user can do that; fails for another reason than a missing right."""
    told = told_by([server.python, "-c", code], cwd="/", **identity(user))
    assert told.returncode == 0 or "PermissionError" in told.stderr, told.stderr
    return told.returncode == 0


def connecting(path: Path) -> str:
    return f"import socket; socket.socket(socket.AF_UNIX).connect({str(path)!r})"


def reading(path: Path) -> str:
    return f"open({str(path)!r}).read()"


def listing(path: Path) -> str:
    return f"import os; os.listdir({str(path)!r})"


def of_unit(name: str, key: str) -> str:
    (value,) = re.findall(rf"^{key}=(.*)$", (ROOT / "systemd" / name).read_text(), re.MULTILINE)
    return str(value)


def of_installer(path: str) -> tuple[int, str, str]:
    """Mode, owner and group that the installer gives a folder."""
    found = re.search(
        rf"folder (\d+) ([\w-]+):([\w-]+) {re.escape(path)}$",
        (ROOT / "scripts/install-server").read_text(),
        re.M,
    )
    assert found, path
    return int(found[1], 8), found[2], found[3]


def make(path: Path, mode: int, user: str, group: str) -> Path:
    path.mkdir(parents=True)
    os.chown(path, 0 if user == "root" else USERS[user][0], GROUPS[group])
    path.chmod(mode)
    return path


class Server:
    """Both services, as their users, in the folders of a server below a scratch one."""

    def __init__(self, root: Path) -> None:
        self.root, self.python = root, interpreter()
        self.data = make(root / "var/lib/claude-bus", *of_installer("/var/lib/claude-bus"))
        self.etc = make(root / "etc/claude-bus", *of_installer("/etc/claude-bus"))
        self.etc_exec = make(root / "etc/claude-bus-exec", 0o755, "root", "claude-bus")
        exec_mode = int(of_unit("claude-bus-exec.service", "RuntimeDirectoryMode"), 8)
        self.run_exec = make(
            root / "run/claude-bus-exec", exec_mode, "claude-bus-exec", "claude-bus"
        )
        self._make_run()
        self.hub_socket, self.exec_socket = (
            root / "run/claude-bus/hub.sock",
            self.run_exec / "exec.sock",
        )
        self.files = root / "var/lib/claude-bus-attachments"
        self.box = make(root / "box", 0o770, "claude-bus-exec", "claude-bus")
        (self.etc_exec / "targets.toml").write_text(
            f'[box]\ndriver = "local"\nfolder = "{self.box}"\n'
        )
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("BUS_")},
            "HOME": str(root),
            "LOGNAME": "somebody",  # systemd sets it; these users have no line in /etc/passwd
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": PACKAGES,
            "BUS_DATA_DIR": str(self.data),
            "BUS_LISTEN": f"unix:{self.hub_socket}",
            "BUS_CREDENTIALS": str(self.etc / "credentials"),
            "BUS_EXEC_SOCKET": str(self.exec_socket),
            "BUS_FILES_DIR": str(self.files),
            "BUS_TARGETS": str(self.etc_exec / "targets.toml"),
            "BUS_LXC": "none",
            "BUS_FSYNC": "never",
            "BUS_SEGMENT_MAX_BYTES": "4096",
        }

    def _make_run(self) -> None:
        """By systemd-tmpfiles, from the shipped lines."""
        (self.root / "run").chmod(0o755)
        ours = ""
        for line in (ROOT / "systemd" / "claude-bus.tmpfiles").read_text().splitlines():
            if not line.startswith("#"):
                kind, path, mode, user, group, age = line.split()
                ours += f"{kind} {self.root}{path} {mode} {USERS[user][0]} {GROUPS[group]} {age}\n"
        (self.root / "tmpfiles.conf").write_text(ours)
        told = told_by([tool("systemd-tmpfiles"), "--create", self.root / "tmpfiles.conf"])
        assert told.returncode == 0, told.stderr


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    if os.geteuid() != 0:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(
            "only root can be several users"
        )
    root = Path(tempfile.mkdtemp(prefix="doors-"))
    try:
        root.chmod(0o755)
        server = Server(root)
        init = [server.python, "-m", "bus", "init"]
        made = told_by(init, cwd=ROOT, env=server.environ, **identity("claude-bus"))
        assert made.returncode == 0, made.stderr
        Credentials(server.etc / "credentials").add("admin", SECRET, "admin")
        # As the installer does after `init`.
        os.chown(server.etc / "credentials", USERS["claude-bus"][0], GROUPS["claude-bus-web"])
        (server.etc / "credentials").chmod(0o640)
        umask = {
            name: int(of_unit(f"{name}.service", "UMask"), 8)
            for name in ("claude-bus", "claude-bus-exec")
        }
        hub = [server.python, "-m", "bus", "serve"]
        service = [server.python, "-m", "bus", "exec-service"]
        common: dict[str, object] = {"cwd": ROOT, "env": server.environ}
        with (
            running(
                hub, root / "hub.log", **common, **identity("claude-bus"), umask=umask["claude-bus"]
            ) as one,
            running(
                service,
                root / "exec.log",
                **common,
                **identity("claude-bus-exec"),
                umask=umask["claude-bus-exec"],
            ) as two,
        ):
            for process, place in ((one, server.hub_socket), (two, server.exec_socket)):
                wait_for(
                    lambda place=place: answers(str(place)),
                    process,
                    (root / "hub.log").read_text() + (root / "exec.log").read_text(),
                )
            yield server
    finally:
        shutil.rmtree(root)


def ask(server: Server, method: str, path: str, body: str = "") -> str:
    """A request by nginx's user, through the hub's socket; gives status and answer."""
    code = f"""
import http.client, socket, base64
c = http.client.HTTPConnection("hub"); c.sock = socket.socket(socket.AF_UNIX)
c.sock.connect({str(server.hub_socket)!r})
secret = base64.b64encode(b"admin:{SECRET}").decode()
headers = {{"Authorization": "Basic " + secret, "Content-Type": "application/json"}}
c.request({method!r}, {path!r}, {body!r}, headers)
a = c.getresponse(); print(a.status, a.read().decode())
"""
    told = told_by([server.python, "-c", code], cwd="/", **identity("www-data"))
    assert told.returncode == 0, told.stderr
    return told.stdout


def test_nginx_reaches_the_hub_and_the_credentials_and_nothing_else(server: Server) -> None:
    assert can(server, "www-data", connecting(server.hub_socket))
    assert can(server, "www-data", reading(server.etc / "credentials"))
    for code in (
        listing(server.data),
        reading(server.data / "bus.jsonl"),
        reading(server.data / "index.db"),
    ):
        assert not can(server, "www-data", code)
    assert not can(server, "www-data", connecting(server.exec_socket))
    assert not can(server, "www-data", f"open({str(server.etc / 'credentials')!r}, 'a')")
    assert not can(server, "www-data", f"import os; os.unlink({str(server.hub_socket)!r})")


def test_attachments_are_for_the_hub_and_to_be_read_by_nginx(server: Server) -> None:
    assert ask(server, "PUT", "/files?name=a.json&to=any", "1").startswith("201")
    (stored,) = server.files.glob("[0-9a-f][0-9a-f]/*")
    assert can(server, "www-data", reading(stored))
    assert not can(server, "www-data", f"open({str(stored)!r}, 'a')")
    assert not can(server, "www-data", f"open({str(server.files / 'new')!r}, 'w')")
    for code in (reading(stored), listing(server.files)):
        assert not can(server, "nobody", code)


def test_the_hub_reaches_the_service_and_cannot_say_what_it_runs(server: Server) -> None:
    assert can(server, "claude-bus", connecting(server.exec_socket))
    assert not can(
        server,
        "claude-bus",
        f"import os; os.rename({str(server.exec_socket)!r}, {str(server.exec_socket)!r} + 'x')",
    )
    assert not can(server, "claude-bus", f"open({str(server.etc_exec / 'targets.toml')!r}, 'a')")
    assert not can(server, "claude-bus", f"open({str(server.etc_exec / 'new')!r}, 'w')")
    found = server.exec_socket.stat()
    assert (found.st_uid, found.st_gid) == (USERS["claude-bus-exec"][0], GROUPS["claude-bus"])
    assert stat.S_IMODE(found.st_mode) & 0o007 == 0


def test_the_service_reaches_what_it_needs(server: Server) -> None:
    assert can(server, "claude-bus-exec", reading(server.etc / "credentials"))
    assert can(server, "claude-bus-exec", reading(server.data / "bus.jsonl"))
    assert not can(server, "claude-bus-exec", f"open({str(server.etc / 'new')!r}, 'w')")
    assert not can(server, "claude-bus-exec", reading(server.data / "admin.env"))


def test_others_reach_nothing(server: Server) -> None:
    for path in (server.hub_socket, server.exec_socket):
        assert not can(server, "nobody", connecting(path))
    for path in (server.data / "bus.jsonl", server.etc / "credentials"):
        assert not can(server, "nobody", reading(path))


def test_a_command_goes_through_both_and_both_write_one_log(server: Server) -> None:
    assert ask(
        server, "POST", "/api/permit", '{"source":"admin","target":"box","allow":true}'
    ).startswith("200")
    both = {USERS["claude-bus"][0], USERS["claude-bus-exec"][0]}
    owners: set[int] = set()
    number = 0
    while owners != both:  # whoever fills a segment up seals it and begins the next
        number += 1
        assert number < 100, f"only {owners} began a segment"
        assert ask(
            server, "POST", "/post", f'{{"from":"admin","to":"any","body":"{number} {"x" * 200}"}}'
        ).startswith("201")
        answer = ask(
            server, "POST", "/api/exec", f'{{"target":"box","command":"id -u; echo {"y" * 100}"}}'
        )
        assert answer.startswith("200"), answer
        assert f'"stdout":"{USERS["claude-bus-exec"][0]}' in answer
        owners |= {path.stat().st_uid for path in server.data.glob("bus*.jsonl")}
    assert {path.stat().st_gid for path in server.data.rglob("*")} == {GROUPS["claude-bus"]}
    for user in ("claude-bus", "claude-bus-exec"):
        verify = [server.python, "-m", "bus", "verify"]
        told = told_by(verify, cwd=ROOT, env=server.environ, **identity(user))
        assert (told.returncode, told.stdout[:16]) == (0, "the log is good:"), told
    logs = (server.root / "hub.log").read_text() + (server.root / "exec.log").read_text()
    assert "ermission" not in logs and "Traceback" not in logs
