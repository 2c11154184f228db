"""Which targets there are; names, before any process starts; and what arrives in the arguments of
`lxc` and `ssh`.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bus.errors import (
    BadField,
    BusError,
    DriverUnavailable,
    NoSuchProgram,
    NoSuchUser,
    SnapshotExists,
    TargetFailed,
    UnknownTarget,
)
from bus.runner.drivers.base import Run, Write
from bus.runner.drivers.lxc import LxcDriver
from bus.runner.drivers.ssh import SshDriver
from bus.runner.drivers.table import Machine
from bus.runner.drivers.targets import BadTable, Targets

Calls = Callable[[], list[list[str]]]

BAD_NAMES = [
    "-foo", "--help", "--", "-", "", ".", "..", "local:x", "x/snap", "../x", "/etc", ";id", "$(id)",
    "`id`", "a b", "one\n",
    "\none", "o\0ne", "one ", "a\tb", "a" * 5000, "öne", "οne", "one\u200b", "one,two",
    "one=x", "*", "a|b", "a&b", "'", '"', "\\", "%h",
]  # fmt: skip
# Names of the table's rule, but none that LXD has.
NO_CONTAINERS = ["1one", "a.b", "one_", "one-", "o" * 64]
HOSTILE = [
    "-foo",
    "--help",
    "--",
    "local:x",
    ";id",
    "$(id)",
    "`id`",
    "a\nb",
    "'\"\\",
    "",
    " ",
    "é",
    "%h",
    "*",
    "x" * 5000,
]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "targets.toml"


def load(table: Path, text: str = "", **fields: Any) -> Targets:
    if text:
        table.write_text(text)
    return Targets.load(table, **fields)


def names(targets: Targets) -> list[tuple[str, str]]:
    return [(entry.name, entry.driver) for entry in targets.list().targets]


@pytest.mark.parametrize("name", [*BAD_NAMES, *NO_CONTAINERS])
def test_a_bad_name_is_refused_before_any_process_starts(
    table: Path, fake_client: Calls, name: str
) -> None:
    with pytest.raises(UnknownTarget):
        load(table).driver_of(name)
    assert fake_client() == []


def test_the_fake_client_does_tell_what_it_was_called_with(table: Path, fake_client: Calls) -> None:
    assert load(table).driver_of("one").name == "lxc"
    assert fake_client() == [["lxc", "list", "--project", "default", "--format", "json"]]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_what_a_request_says_is_one_argument_each(fake_client: Calls, hostile: str) -> None:
    run = Run(("prog", hostile, "x"), "m", cwd=f"/{hostile}", env={"X": hostile})
    with pytest.raises(UnknownTarget):
        LxcDriver().exec("one", run)
    (call,) = fake_client()
    at = call.index("--")
    assert call[:6] == ["lxc", "exec", "one", "--project", "default", "-T"]
    assert call[6:at] == [f"--env=X={hostile}", "--env=BUS_EXEC_ID=m"]
    assert call[at + 1 : at + 3] == ["/bin/sh", "-c"]
    assert call[-4:] == [f"/{hostile}", "prog", hostile, "x"]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_what_a_request_says_is_quoted_for_the_shell_of_a_machine(
    fake_client: Calls, hostile: str
) -> None:
    driver = SshDriver({"near": Machine("near.lan", "me", 2222, Path("/c"))})
    with pytest.raises(BusError):
        driver.exec("near", Run(("prog", hostile, "x"), "m", cwd=f"/{hostile}", env={"X": hostile}))
    (call,) = fake_client()
    assert call[-3:-1] == ["--", "near.lan"]
    assert call[:4] == ["ssh", "-T", "-F", "/c"]
    options = call[4:-3]
    assert options[-4:] == ["-l", "me", "-p", "2222"]
    assert {
        "BatchMode=yes",
        "StrictHostKeyChecking=yes",
        "ForwardAgent=no",
        "ClearAllForwardings=yes",
    } <= set(options)
    remote = shlex.split(call[-1])
    assert remote[:4] == ["exec", "env", f"X={hostile}", "BUS_EXEC_ID=m"]
    assert remote[-4:] == [f"/{hostile}", "prog", hostile, "x"]


@pytest.mark.parametrize("hostile", [path for path in HOSTILE if path])
def test_a_path_is_one_argument(fake_client: Calls, hostile: str) -> None:
    for call in (
        lambda: LxcDriver().read("one", f"/{hostile}", 0, 1, 1),
        lambda: LxcDriver().write("one", Write(f"/{hostile}", b"x")),
    ):
        with pytest.raises(UnknownTarget):
            call()
    calls = fake_client()
    assert [f"/{hostile}" in call[call.index("--") :] for call in calls] == [True, True]


@pytest.mark.parametrize(
    "user", ["-foo", "--help", "a b", "$(id)", "a:b", "1:x", "1:-2", "", "x" * 65, "a\n"]
)
def test_a_user_that_can_be_none_starts_no_process(fake_client: Calls, user: str) -> None:
    with pytest.raises(NoSuchUser):
        LxcDriver().exec("one", Run(("id",), "m", user=user))
    assert fake_client() == []


@pytest.mark.parametrize("program", ["-foo", "--help", "-"])
def test_a_program_that_could_be_an_option_starts_no_process(
    fake_client: Calls, program: str
) -> None:
    with pytest.raises(NoSuchProgram):
        LxcDriver().exec("one", Run((program,), "m"))
    assert fake_client() == []


@pytest.mark.parametrize("name", ["-x", "--help", "../x", "a/b", "", "a b", "x" * 64, "a\n", "é"])
def test_a_bad_name_of_a_snapshot_starts_no_process(fake_client: Calls, name: str) -> None:
    for call in (LxcDriver().snapshot, LxcDriver().restore, LxcDriver().delete_snapshot):
        with pytest.raises(BadField):
            call("one", name)
    assert fake_client() == []


def test_incus_takes_the_same_but_for_snapshots(fake_client: Calls, tmp_path: Path) -> None:
    driver = LxcDriver("incus", "p")
    driver.snapshot("one", "s")
    driver.restore("one", "s")
    driver.delete_snapshot("one", "s")
    driver.list()
    LxcDriver("lxc", "p").snapshot("one", "s")
    LxcDriver("lxc", "p").restore("one", "s")
    LxcDriver("lxc", "p").delete_snapshot("one", "s")
    assert fake_client() == [
        ["incus", "snapshot", "create", "one", "s", "--project", "p"],
        ["incus", "snapshot", "restore", "one", "s", "--project", "p"],
        ["incus", "snapshot", "delete", "one", "s", "--project", "p"],
        ["incus", "list", "--project", "p", "--format", "json"],
        ["lxc", "snapshot", "one", "s", "--project", "p"],
        ["lxc", "restore", "one", "s", "--project", "p"],
        ["lxc", "delete", "one/s", "--project", "p"],
    ]


def test_every_listed_container_is_a_target_and_a_setting_narrows_that(
    table: Path, fake_client: Calls
) -> None:
    assert names(load(table)) == [("one", "lxc"), ("two", "lxc")]
    narrowed = load(table, only=["two"])
    assert names(narrowed) == [("two", "lxc")]
    assert narrowed.driver_of("two").name == "lxc"
    with pytest.raises(UnknownTarget):
        narrowed.driver_of("one")


def test_the_table_adds_overrides_and_bars(table: Path, fake_client: Calls, tmp_path: Path) -> None:
    targets = load(
        table,
        '[one]\ndriver = "none"\n[two]\ndriver = "ssh"\n'
        f'[a_b]\ndriver = "local"\nfolder = "{tmp_path}/s"\n'
        '[ser8]\ndriver = "ssh"\nhost = "ser8.lan"\n',
    )
    assert names(targets) == [("a_b", "local"), ("ser8", "ssh"), ("two", "ssh")]
    assert [targets.driver_of(name).name for name in ("a_b", "ser8", "two")] == [
        "local",
        "ssh",
        "ssh",
    ]
    with pytest.raises(UnknownTarget):
        targets.driver_of("one")
    (ser8,) = [entry for entry in targets.list().targets if entry.name == "ser8"]
    assert (ser8.kind, ser8.state, ser8.addresses) == ("machine", "unknown", ("ser8.lan",))


def test_without_a_client_the_table_is_all(table: Path, fake_client: Calls) -> None:
    targets = load(table, '[x]\ndriver = "ssh"\n', lxc="")
    assert names(targets) == [("x", "ssh")]
    with pytest.raises(UnknownTarget):
        targets.driver_of("one")
    assert fake_client() == []


def test_a_client_that_is_away_hides_only_its_own(
    table: Path, fake_client: Calls, tmp_path: Path
) -> None:
    (tmp_path / "away").touch()
    targets = load(table, '[x]\ndriver = "ssh"\n')
    assert targets.driver_of("x").name == "ssh"
    with pytest.raises(DriverUnavailable, match="dial unix"):
        targets.driver_of("one")
    listing = targets.list()
    assert [entry.name for entry in listing.targets] == ["x"]
    assert "dial unix" in listing.unavailable["lxc"]


def test_a_client_that_is_not_installed_is_told(
    table: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("bus.runner.drivers.lxc.PATH", str(tmp_path))
    with pytest.raises(DriverUnavailable, match="lxc"):
        load(table).driver_of("one")
    assert list(load(table).list().unavailable) == ["lxc"]


def test_a_known_name_costs_nothing_and_guessing_little(table: Path, fake_client: Calls) -> None:
    targets = load(table)
    for _ in range(20):
        assert targets.driver_of("one").name == "lxc"
        with pytest.raises(UnknownTarget):
            targets.driver_of("three")
    assert len(fake_client()) == 1


def test_an_unknown_name_is_asked_for_anew_after_a_second(
    table: Path, fake_client: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    targets = load(table)
    with pytest.raises(UnknownTarget):
        targets.driver_of("three")
    (tmp_path / "list.json").write_text('[{"name":"three","status":"Stopped","type":"container"}]')
    monkeypatch.setattr("bus.runner.drivers.lxc._ONCE_IN_S", 0)
    assert targets.driver_of("three").name == "lxc"


def test_a_container_that_has_gone_is_forgotten(
    table: Path, fake_client: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bus.runner.drivers.lxc._ONCE_IN_S", 0)
    targets = load(table)
    driver = targets.driver_of("one")
    (tmp_path / "list.json").write_text("[]")
    assert targets.driver_of("one") is driver
    with pytest.raises(UnknownTarget):
        driver.exec("one", Run(("true",), "m"))
    with pytest.raises(UnknownTarget):
        targets.driver_of("one")


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("Error: Instance not found", "unknown_target"),
        (
            'Error: Failed to fetch instance "one" in project "default": Instance not found',
            "unknown_target",
        ),
        ("Error: Instance is not running", "target_stopped"),
        ("Error: Instance is frozen", "target_busy"),
        (
            (
                "Error: Failed to create instance start operation: Instance is busy running a"
                ' "stop" operation'
            ),
            "target_busy",
        ),
        ("Error: LXD VM agent isn't currently running", "target_busy"),
        ("Error: Command not found", "no_such_program"),
        (
            'Error: Get "http://unix.socket/1.0": dial unix /x: connect: no such file or directory',
            "driver_unavailable",
        ),
        ("Error: something new", "target_failed"),
    ],
)
def test_what_the_client_says_before_a_start_has_its_code(
    fake_client: Calls, tmp_path: Path, said: str, error: str
) -> None:
    (tmp_path / "said").write_text(said)
    with pytest.raises(BusError) as refused:
        LxcDriver().exec("one", Run(("true",), "m"))
    assert refused.value.code == error


def test_an_lxd_that_dies_in_the_middle_of_an_operation_is_not_told_as_nothing_done(
    fake_client: Calls, tmp_path: Path
) -> None:
    driver = LxcDriver()
    (tmp_path / "said-to-snapshot").write_text(
        'Error: Get "http://unix.socket/1.0/operations/1/wait": EOF\n'
    )
    with pytest.raises(TargetFailed, match="EOF"):
        driver.snapshot("one", "mine")
    (tmp_path / "said-to-snapshot").unlink()
    (tmp_path / "leaves-after-snapshot").touch()
    with pytest.raises(TargetFailed, match=r"dial unix.* was kept as before-restore-"):
        driver.restore("one", "s", keep=1)
    (tmp_path / "away").unlink()
    (tmp_path / "said-to-stop").write_text("Error: The instance does not stop in time\n")
    (tmp_path / "leaves-after-stop").touch()
    with pytest.raises(TargetFailed, match=r"may still do so: .*dial unix"):
        driver.stop("one")
    with pytest.raises(DriverUnavailable):
        driver.stop("one")


@pytest.mark.parametrize(
    "said",
    [
        "Connection to near.lan closed by remote host.",
        "client_loop: send disconnect: Broken pipe",
        "Timeout, server near.lan not responding.",
    ],
)
def test_a_connection_of_ssh_that_broke_once_it_stood_may_have_run_the_program(
    fake_client: Calls, tmp_path: Path, said: str
) -> None:
    driver = SshDriver({"near": Machine("near.lan")})
    ssh = tmp_path / "bin" / "ssh"
    ssh.write_text(f"#!/bin/sh\necho '{said}' >&2; exit 255\n")
    ended = driver.exec("near", Run(("true",), "m"))
    assert (ended.exit_code, ended.is_unreached, said in ended.lost) == (None, True, True)
    ssh.write_text(
        "#!/bin/sh\necho 'ssh: connect to host near.lan port 22: Connection refused' >&2; exit"
        " 255\n"
    )
    with pytest.raises(DriverUnavailable):
        driver.exec("near", Run(("true",), "m"))


def test_a_changed_table_is_read_again(table: Path, fake_client: Calls) -> None:
    targets = load(table, lxc="")
    assert names(targets) == []
    table.write_text('[x]\ndriver = "ssh"\n')
    assert names(targets) == [("x", "ssh")]
    table.write_text("[x")
    for call in (targets.list, lambda: targets.driver_of("x")):
        with pytest.raises(DriverUnavailable, match=r"targets\.toml"):
            call()
    table.unlink()
    assert names(targets) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[x", "targets.toml: "),
        ("x = 1", "[x]: must be a table"),
        ("[x]", "[x] driver: is missing"),
        ('[x]\ndriver = "docker"', "[x] driver: is"),
        ("[x]\ndriver = 1", "[x] driver: is"),
        ('[x]\ndriver = "ssh"\nfolder = "/x"', "[x] folder: is not a field"),
        ('[x]\ndriver = "none"\nhost = "x"', "[x] host: is not a field"),
        ('[x]\ndriver = "local"', "[x] folder: is missing"),
        ('[x]\ndriver = "local"\nfolder = "x"', "[x] folder: is an absolute path"),
        ('[x]\ndriver = "ssh"\nhost = "-oProxyCommand=x"', "[x] host: is a host"),
        ('[x]\ndriver = "ssh"\nhost = "a b"', "[x] host: is a host"),
        ('[x]\ndriver = "ssh"\nuser = "-x"', "[x] user: is a user"),
        ('[x]\ndriver = "ssh"\nport = 0', "[x] port: is a number"),
        ('[x]\ndriver = "ssh"\nport = true', "[x] port: is a number"),
        ('[x]\ndriver = "ssh"\nport = "22"', "[x] port: is a number"),
        ('[x]\ndriver = "ssh"\nconfig = "c"', "[x] config: is an absolute path"),
        ('["-x"]\ndriver = "ssh"', "[-x]: a name has"),
        ('["x/y"]\ndriver = "ssh"', "[x/y]: a name has"),
        ('["x\\n"]\ndriver = "ssh"', "a name has"),
    ],
)
def test_a_mistake_in_the_table_is_told_with_its_place(table: Path, text: str, words: str) -> None:
    with pytest.raises(BadTable) as refused:
        load(table, text)
    assert str(table) in str(refused.value)
    assert words in str(refused.value)


def test_a_table_that_is_no_text_is_told(table: Path) -> None:
    table.write_bytes(b"\xff\xfe")
    with pytest.raises(BadTable, match="utf-8"):
        load(table)


def test_settings_that_cannot_be_are_refused(table: Path) -> None:
    for fields in ({"lxc": "docker"}, {"only": ["-x"]}, {"only": ["local:x"]}):
        with pytest.raises(ValueError, match="is"):
            load(table, **fields)


def test_the_environment_of_the_client_is_small(
    fake_client: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BUS_PASS", "secret")
    monkeypatch.setenv("LXD_DIR", "/somewhere")
    environ = LxcDriver()._client(["list"]).environ
    assert (environ["LXD_DIR"], environ["LC_ALL"]) == ("/somewhere", "C")
    assert set(environ) <= {"PATH", "LC_ALL", "HOME", "LXD_DIR", "LXD_CONF", "LXD_SOCKET"}
    assert "secret" not in str(SshDriver({"x": Machine("x")})._command("x", ["true"], {}).environ)


def test_a_snapshot_that_is_there_is_told(fake_client: Calls, tmp_path: Path) -> None:
    folder = Path(os.environ["PATH"].split(":")[0])
    assert folder  # the fake is on the driver's own PATH, not on this one
    (tmp_path / "bin" / "lxc").write_text(
        '#!/bin/sh\n[ $1 = query ] && { echo "{}"; exit; }; echo "Error: Snapshot one/s already'
        ' exists" >&2; exit 1\n'
    )
    with pytest.raises(SnapshotExists):
        LxcDriver().snapshot("one", "s")


@pytest.mark.slow
def test_a_client_that_hangs_after_the_end_is_not_waited_for(
    fake_client: Calls, tmp_path: Path
) -> None:
    """Of fifty `lxc exec` at once some hang (LXD 5.0.2); all has come, and nothing of the run is
    alive.
    """
    (tmp_path / "bin" / "lxc").write_text(
        '#!/bin/sh\nfor word; do case $word in *[!0-9a-f]*|"") ;;'
        ' ????????????????????????????????)\nprintf out; printf "\\036%s started 0 0 0\\n\\036%s'
        ' code 5\\n" "$word" "$word" >&2; exec sleep 1000 ;; esac; done; echo 0\n'
    )
    ended = LxcDriver().exec("one", Run(("true",), "m", timeout_s=60))
    assert (ended.exit_code, ended.stdout.data, ended.timed_out) == (5, b"out", False)
    assert ended.duration_ms < 20_000


@pytest.mark.parametrize(
    "words", ["", "Error: websocket: close 1006 (abnormal closure): unexpected EOF", "Error: EOF"]
)
def test_a_client_that_loses_the_daemon_does_not_say_that_nothing_was_run(
    fake_client: Calls, tmp_path: Path, words: str
) -> None:
    (tmp_path / "said").write_text(words)
    ended = LxcDriver().exec("one", Run(("true",), "m"))
    assert (ended.exit_code, ended.leaked, ended.is_unreached, ended.timed_out) == (
        None,
        None,
        True,
        False,
    )
    assert ended.lost.endswith(words or "nothing")


@pytest.mark.parametrize(
    ("code", "expected"), [(0, 0), (7, 7), (1, None), (127, None), (137, None)]
)
def test_a_client_that_loses_what_it_should_pass_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, expected: int | None
) -> None:
    client = tmp_path / "lxc"
    client.write_text(
        '#!/bin/sh\nwhile [ $1 != -- ]; do shift; done; shift; exec "$@" 2>/dev/null\n'
    )
    client.chmod(0o755)
    monkeypatch.setattr("bus.runner.drivers.lxc.PATH", f"{tmp_path}:/usr/bin:/bin")
    run = Run(("sh", "-c", f"echo out; echo err >&2; exit {code}"), "m")
    ended = LxcDriver().exec("one", run)
    assert (ended.exit_code, ended.stdout.data, ended.lost == "") == (
        expected,
        b"out\n",
        expected is not None,
    )
    assert expected is None or b"lost" in ended.stderr.data
