"""The hub through SSH: a real sshd on loopback, with the user's own configuration."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from bus.runner.drivers.base import Run, Write
from bus.runner.drivers.ssh import SshDriver
from bus.runner.drivers.table import Machine
from busclient import Bus, Settings, SettingsError, Unreachable
from busclient._cli import exits
from busclient._http.ssh import Tunnels
from busclient._http.ssh import command as ssh_command
from busclient._http.trouble import SshFailed
from busclient._joining import redeem
from busclient._places import Places
from tests.client.conftest import QUICK, Served, command
from tests.client.test_session_start import SCRIPT, run
from tests.conftest import PASSWORD, USER, RunningHub, free_port, wait_until

pytestmark = pytest.mark.slow


class Sshd:
    """A real sshd that lets this user in with one key; `log` has what it did."""

    def __init__(self, folder: Path, home: Path, more: str = "") -> None:
        self.folder, self.port, self.log = folder, free_port(), folder / "log"
        for name in ("host", "user"):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)],
                check=True,
            )
        shutil.copy(folder / "user.pub", folder / "authorized_keys")
        (folder / "sshd_config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile"
            f" none\nLogLevel VERBOSE\nAuthorizedKeysFile {folder}/authorized_keys\nStrictModes"
            f" no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\n{more}"
        )
        key = (folder / "host.pub").read_text()
        (folder / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {key}")
        self.config = folder / "config"
        self.config.write_text(
            f"Host hubhost\n HostName 127.0.0.1\n Port {self.port}\n User {getpass.getuser()}\n"
            f" IdentityFile {folder}/user\n UserKnownHostsFile {folder}/known_hosts\nHost strange\n"
            f" HostName 127.0.0.1\n Port {self.port}\n UserKnownHostsFile {folder}/nobody\n"
            " StrictHostKeyChecking yes\n"
        )
        Path("/run/sshd").mkdir(exist_ok=True)
        self.start()

    def start(self) -> None:
        """Start it, now or again."""
        config = str(self.folder / "sshd_config")
        self.log.unlink(missing_ok=True)
        self.process = subprocess.Popen(["/usr/sbin/sshd", "-D", "-f", config, "-E", str(self.log)])
        wait_until(lambda: self.log.exists() and "listening" in self.log.read_text())

    def stop(self) -> None:
        """No new connections; those that there are go on."""
        self.process.terminate()
        self.process.wait(10)

    def logins(self) -> int:
        return self.log.read_text().count("Accepted publickey")


@pytest.fixture
def sshd(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sshd]:
    folder = tmp_path / "sshd"
    folder.mkdir()
    server = Sshd(folder, home)
    # ssh takes the home from the user's record and not from HOME: a wrapper on the PATH gives it
    # this configuration.
    wrapper = folder / "bin" / "ssh"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {server.config} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{wrapper.parent}:{os.environ['PATH']}")
    with (
        tempfile.TemporaryDirectory() as state
    ):  # and not tmp_path: the path of a socket must be short
        monkeypatch.setenv("XDG_STATE_HOME", state)
        yield server
        for path in (Path(state) / "claude-bus").glob("ssh-*"):
            subprocess.run(
                ["ssh", "-o", f"ControlPath={path}", "-O", "exit", "hubhost"],
                capture_output=True,
                check=False,
            )
    server.process.terminate()
    server.process.wait(10)


def over_ssh(served: Served, host: str = "hubhost", **kwargs: Any) -> Bus:
    return Bus(
        Settings(url=served.url, user=USER, password=PASSWORD, name="bob", ssh_host=host), **kwargs
    )


def test_everything_works_over_one_connection(served: Served, sshd: Sshd, way: str) -> None:
    served.caller.say("through the tunnel")
    for _ in range(3):
        with over_ssh(served) as bus:
            assert bus.post("and back", to="alice").message is not None
            assert [message.body for message in bus.unread()] == ["through the tunnel"]
            assert [message.body for message in islice(bus.stream(unread_by="bob"), 1)] == [
                "through the tunnel"
            ]
    assert sshd.logins() == 1


def test_a_large_message_comes_through_whole(served: Served, sshd: Sshd, way: str) -> None:
    with over_ssh(served) as bus:
        posted = bus.post("é" * 32768, to="alice").message
        assert posted is not None and posted.body == "é" * 32768


def test_nothing_listens_on_a_local_port(served: Served, sshd: Sshd) -> None:
    with over_ssh(served) as bus:
        bus.health()
        arguments = ssh_command("hubhost", "127.0.0.1:1", None)
        assert "-L" not in arguments and "-W" in arguments


def over_ssh_to(hub: RunningHub, **kwargs: Any) -> Bus:
    return Bus(
        Settings(url=hub.url, user=USER, password=PASSWORD, name="bob", ssh_host="hubhost"),
        **kwargs,
    )


def test_without_a_shared_connection_a_process_keeps_its_own_as_on_windows(
    hub: RunningHub, sshd: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("busclient._http.ssh._LONGEST_PATH", 0)
    for number in (1, 2):
        with over_ssh_to(hub) as bus:
            assert bus.health()["ok"]
            assert bus.health()["ok"]
        assert sshd.logins() == number


def test_what_ssh_says_is_told(served: Served, sshd: Sshd, way: str) -> None:
    for host, words in (
        ("strange", "Host key verification failed"),
        ("no-such-host.invalid", "resolve|Name"),
    ):
        with pytest.raises(Unreachable, match=words), over_ssh(served, host, patience=QUICK) as bus:
            bus.health()


def test_an_invite_that_ssh_could_not_carry_is_not_called_spent(sshd: Sshd, places: Places) -> None:
    away = f"http://127.0.0.1:{free_port()}"
    for host, hint in (
        ("strange", "`ssh strange` must work without a question"),
        ("no-such-host.invalid", "`ssh no-such-host.invalid` must work"),
        ("hubhost", f"ssh reaches hubhost. Does the hub run there, at {away}"),
    ):
        with pytest.raises(Unreachable) as caught:
            redeem(away, "01I.s", places, ssh_host=host)
        assert caught.value.hint.startswith(hint), caught.value
        assert "The invite is not spent" in caught.value.hint
        assert ".." not in caught.value.message


@pytest.mark.parametrize(
    ("line", "is_unsent"),
    [
        ("Host key verification failed.", True),
        ("agent@hub1: Permission denied (publickey).", True),
        ("ssh: connect to host hub1 port 22: Connection refused", True),
        ("channel 0: open failed: connect failed: Connection refused", True),
        (
            (
                "mux_client_request_stdio_fwd: stdio forwarding request failed: Session open"
                " refused by peer"
            ),
            True,
        ),
        ("Permission denied to strangers (says the banner)", False),
        ("Connection to hub1 closed by remote host.", False),
        ("client_loop: send disconnect: Broken pipe", False),
    ],
)
def test_only_what_never_left_is_called_unsent(line: str, is_unsent: bool) -> None:
    assert SshFailed("hub1", [line]).is_unsent == is_unsent


def test_a_hub_that_is_away_behind_ssh_is_told(served: Served, sshd: Sshd, way: str) -> None:
    settings = Settings(
        url=f"http://127.0.0.1:{free_port()}",
        user=USER,
        password=PASSWORD,
        name="bob",
        ssh_host="hubhost",
    )
    with pytest.raises(Unreachable), Bus(settings, patience=QUICK) as bus:
        bus.health()


@pytest.mark.parametrize("host", ["-oProxyCommand=x", "a b", "a\nb", "../x", "%h"])
def test_a_host_that_could_be_an_option_is_refused(host: str) -> None:
    with pytest.raises(SettingsError):
        ssh_command(host, "127.0.0.1:1", None)


def environ(served: Served, home: Path) -> dict[str, str]:
    return served.environ(home, BUS_SSH_HOST="hubhost", XDG_STATE_HOME=os.environ["XDG_STATE_HOME"])


def test_the_command_and_the_doctor_use_it(served: Served, sshd: Sshd, home: Path) -> None:
    served.caller.say("hello over ssh")
    assert "hello over ssh" in command(environ(served, home), "inbox").stdout
    ran = command(environ(served, home), "doctor")
    assert (ran.returncode, "ssh and hub" in ran.stdout) == (0, True)
    assert (
        command({**environ(served, home), "BUS_SSH_HOST": "strange"}, "doctor").returncode
        == exits.UNWELL
    )
    assert sshd.logins() == 1


def test_the_session_start_script_uses_it(served: Served, sshd: Sshd, home: Path) -> None:
    served.caller.say("hello over ssh")
    command(environ(served, home), "inbox")  # makes the state folder
    assert "hello over ssh" in run(SCRIPT, environ(served, home))
    before = sshd.logins()
    assert "hello over ssh" in run(SCRIPT, environ(served, home), "--ack")
    assert run(SCRIPT, environ(served, home)) == ""
    assert sshd.logins() == before
    assert run(SCRIPT, {**environ(served, home), "BUS_SSH_HOST": "strange"}).count("\n") == 1


def test_calls_share_one_connection_of_http_too(
    hub: RunningHub, sshd: Sshd, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    inner = Tunnels.open

    def noted(self: Tunnels, host: str, port: int) -> Any:
        opened.append(f"{host}:{port}")
        return inner(self, host, port)

    monkeypatch.setattr(Tunnels, "open", noted)
    with over_ssh_to(hub) as bus:
        for _ in range(5):
            bus.messages(limit=1)
    assert opened == [hub.url.removeprefix("http://")]


@pytest.fixture
def noisy(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sshd]:
    """A machine whose login shell prints before each command, as bash does with a .bashrc that
    prints.
    """
    (tmp_path / "noisy").mkdir()
    (tmp_path / "noisy" / "bashrc").write_text(
        "echo Welcome to hubhost; printf 'no line end'; echo noise >&2\n"
    )
    server = Sshd(tmp_path / "noisy", home, f"SetEnv BASH_ENV={tmp_path}/noisy/bashrc\n")
    wrapper = tmp_path / "noisy" / "bin" / "ssh"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {server.config} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{wrapper.parent}:{os.environ['PATH']}")
    yield server
    server.process.terminate()
    server.process.wait(10)


def test_a_login_shell_that_prints_spoils_no_poll(noisy: Sshd, served: Served, home: Path) -> None:
    served.caller.say("hello over ssh")
    environ = served.environ(home, BUS_SSH_HOST="hubhost", PATH=os.environ["PATH"])
    said = run(SCRIPT, environ, "--ack")
    assert "hello over ssh" in said
    assert "Welcome" not in said
    assert run(SCRIPT, environ) == ""


def test_a_login_shell_that_prints_spoils_no_command_and_no_file(
    noisy: Sshd, tmp_path: Path
) -> None:
    driver = SshDriver({"near": Machine("hubhost", config=noisy.config)}, file_timeout_s=20)
    ended = driver.exec("near", Run(("sh", "-c", "printf 'a\\nb'; echo c >&2"), "m1", 20))
    assert (ended.exit_code, ended.stdout.data, ended.stderr.data) == (0, b"a\nb", b"c\n")
    path = tmp_path / "file"
    driver.write("near", Write(str(path), b"content\n"))
    assert path.read_bytes() == b"content\n"
    assert driver.read("near", str(path), 0, 100, 1000).content == b"content\n"
    ended = driver.exec("near", Run(("sleep", "60"), "m2", 1))
    assert (ended.exit_code, ended.timed_out, ended.leaked) == (None, True, 0)
