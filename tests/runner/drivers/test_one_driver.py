"""What one driver alone can do, or cannot."""

from __future__ import annotations

import os
import random
import secrets
import subprocess
from typing import Any

import pytest

from bus.errors import (
    BusError,
    DriverUnavailable,
    NoSuchFolder,
    NoSuchProgram,
    NoSuchUser,
    NotAFile,
    NotSupported,
)
from bus.runner.drivers.base import Run, Write
from bus.runner.drivers.local import LocalDriver
from bus.runner.drivers.lxc import LxcDriver
from bus.runner.drivers.process import said
from bus.runner.drivers.ssh import SshDriver
from bus.runner.drivers.table import Machine
from tests.client.http.test_ssh import Sshd
from tests.conftest import free_port
from tests.runner.drivers.conftest import Place, alive


def test_another_user_is_not_to_be_had_where_there_is_one_only(local: Place) -> None:
    with pytest.raises(NotSupported):
        local.run("id", user="daemon")
    assert local.run("id", "-u", user=str(os.getuid())).stdout.data == b"%d\n" % os.getuid()


@pytest.mark.parametrize("path", ["/out", "/deep/out", "/up/x", "/../x"])
def test_a_link_out_of_a_folder_is_not_followed(local: Place, path: str) -> None:
    local.sh(
        "ln -s /etc/passwd out; mkdir deep; ln -s ../../secret deep/out; ln -s .. up; echo x"
        " >../secret; echo x >../x"
    )
    for call in (
        lambda: local.driver.read(local.target, path, 0, 10, 10),
        lambda: local.driver.write(local.target, Write(path, b"owned")),
    ):
        with pytest.raises(NotAFile) as refused:
            call()
        assert refused.value.details["type"] == "link"
    with pytest.raises(NoSuchFolder):
        local.run("pwd", cwd="/up")
    assert isinstance(local.driver, LocalDriver)
    assert local.sh("cat ../secret ../x") == "x\nx\n"


def test_errors_of_the_folders_driver_tell_the_targets_path(local: Place) -> None:
    with pytest.raises(BusError, match="no file /none in scratch"):
        local.driver.read(local.target, "/none", 0, 1, 1)


@pytest.mark.slow
def test_a_user_comes_with_group_home_and_name(lxc: Place) -> None:
    def who(user: str | None) -> str:
        return (
            lxc.run("sh", "-c", "echo $(id -u):$(id -g) $HOME $USER $PWD", user=user)
            .stdout.data.decode()
            .strip()
        )

    assert who(None) == who("root") == "0:0 /root root /root"
    assert who("agent") == who("1000") == "1000:1000 /home/agent agent /home/agent"
    assert who("1000:5") == "1000:5 /home/agent agent /home/agent"
    assert who("4321") == "4321:4321 / 4321 /"
    for user in ("nobody-here", "-x", "a:b"):
        with pytest.raises(NoSuchUser):
            who(user)
    lxc.sh("mkdir closed; chmod 700 closed")
    with pytest.raises(NoSuchFolder):
        lxc.run("pwd", user="agent", cwd=f"{lxc.folder}/closed")


@pytest.mark.slow
def test_a_user_has_all_its_groups(lxc: Place) -> None:
    def groups(user: str, **fields: Any) -> list[str]:
        return lxc.run("id", "-G", user=user, **fields).stdout.data.decode().split()

    lxc.sh(
        "cp /etc/group group; echo 'staff:x:77:agent' >>/etc/group; echo 'sound:x:78:agent'"
        " >>/etc/group"
    )
    try:
        assert groups("agent") == groups("1000") == ["1000", "77", "78"]
        assert groups("1000:5") == ["5"]
        assert groups("root") == ["0"]
        who = lxc.run(
            "sh", "-c", "echo $(id -u) $HOME $USER $PWD $X", user="agent", env={"X": "-a 'b"}
        )
        assert who.stdout.data.decode() == "1000 /home/agent agent /home/agent -a 'b\n"
        assert lxc.run("sh", "-c", "exit 9", user="agent").exit_code == 9
        seconds = f"1{random.randrange(10**8):08}"
        ended = lxc.run(
            "sh", "-c", f"sleep {seconds} & sleep {seconds}", user="agent", timeout_s=lxc.brief_s
        )
        assert (ended.timed_out, ended.leaked, alive(f"sleep {seconds}")) == (True, 0, [])
    finally:
        lxc.sh("cp group /etc/group")


@pytest.mark.slow
def test_what_runs_on_in_a_frozen_container_is_ended_when_it_thaws(
    lxc: Place, lxd: dict[str, str]
) -> None:
    seconds, marker = f"1{random.randrange(10**8):08}", secrets.token_hex(13)

    def freeze(*_: Any) -> None:
        subprocess.run(["lxc", "pause", "one"], env={**os.environ, **lxd}, check=True)

    ended = lxc.run(
        "sh",
        "-c",
        f"echo ready; sleep {seconds}",
        on_output=freeze,
        marker=marker,
        timeout_s=lxc.brief_s,
    )
    assert (ended.timed_out, ended.leaked, ended.is_unreached) == (True, None, True)
    with pytest.raises(BusError, match="frozen"):
        lxc.driver.end("one", marker)
    assert alive(f"sleep {seconds}")
    subprocess.run(["lxc", "start", "one"], env={**os.environ, **lxd}, check=True)
    assert lxc.driver.end("one", marker) == 0
    assert alive(f"sleep {seconds}") == []


@pytest.mark.slow
def test_a_container_without_bash_or_sh_says_so(lxc: Place) -> None:
    for program in ("bash", "sh"):
        lxc.sh(f"mv /bin/{program} /bin/{program}.away")
        try:
            with pytest.raises(NoSuchProgram):
                lxc.run("bash", "-c", "true")
        finally:
            _put_back(lxc, program)


def _put_back(place: Place, program: str) -> None:
    assert isinstance(place.driver, LxcDriver)
    name = f"/bin/{program}"
    assert (
        said(
            place.driver._command(place.target, ["busybox", "mv", f"{name}.away", name], {}), 20
        ).code
        == 0
    )


@pytest.mark.slow
def test_a_machine_that_does_not_answer_or_is_not_known_is_told(ssh: Place, sshd: Sshd) -> None:
    away = Machine("127.0.0.1", port=free_port(), config=sshd.config)
    driver = SshDriver({"away": away, "strange": Machine("strange", config=sshd.config)})
    for target, words in (("away", "refused"), ("strange", "verification failed")):
        with pytest.raises(DriverUnavailable, match=words):
            driver.exec(target, Run(("true",), "m"))


@pytest.mark.slow
def test_a_connection_that_breaks_is_no_exit_code(ssh: Place) -> None:
    """255 is what ssh says then, and what a program may say, too."""
    ended = ssh.run(
        "sh", "-c", "kill -KILL $PPID; kill -KILL $(awk '/PPid/ {print $2}' /proc/$PPID/status)"
    )
    assert (ended.exit_code, "255" in ended.lost, ended.leaked) == (None, True, 0)
