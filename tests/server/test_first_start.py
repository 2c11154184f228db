"""What a start makes, and what it refuses to make."""

from __future__ import annotations

import json
import os
import re
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from dotenv import dotenv_values

from bus import create_app
from bus.config import BadSetting, Config
from bus.credentials import Credentials, file
from bus.errors import StorageFailed
from bus.model.caller import ADMIN, MEMBER, SHARED
from bus.server import env_file, first_start
from bus.server.commands import main
from tests.conftest import PASSWORD, ROOT, USER, Caller, opened


def test_the_password_that_is_set_is_the_one_that_counts(config: Config) -> None:
    first_start.prepare(config, {"BUS_USER": "ann", "BUS_PASS": "first"})
    first_start.prepare(config, {"BUS_USER": "ann", "BUS_PASS": "second"})
    credentials = Credentials(config.credentials_file)
    assert credentials.knows("ann", "second")
    assert not credentials.knows("ann", "first")


def test_the_env_file_follows_the_address(tmp_path: Path) -> None:
    first_start.prepare(Config(data_dir=tmp_path, listen="127.0.0.1:1111"), {})
    before = dotenv_values(tmp_path / "claude-bus.env")
    first_start.prepare(Config(data_dir=tmp_path, listen="127.0.0.1:2222"), {})
    assert dotenv_values(tmp_path / "claude-bus.env") == {
        **before,
        "BUS_URL": "http://127.0.0.1:2222",
    }


def test_a_second_hub_on_another_port_leaves_the_address_of_the_first_that_runs(
    tmp_path: Path,
) -> None:
    with socket.socket() as first:
        first.bind(("127.0.0.1", 0))
        first.listen()
        listen = f"127.0.0.1:{first.getsockname()[1]}"
        first_start.prepare(Config(data_dir=tmp_path, listen=listen), {})
        before = (tmp_path / "claude-bus.env").read_bytes()
        said = first_start.prepare(Config(data_dir=tmp_path, listen="127.0.0.1:2222"), {})
        assert (tmp_path / "claude-bus.env").read_bytes() == before
        assert "stays as it is" in said[0]
    first_start.prepare(Config(data_dir=tmp_path, listen="127.0.0.1:2222"), {})
    assert "127.0.0.1:2222" in (tmp_path / "claude-bus.env").read_text()


@pytest.mark.parametrize("secret", ["it's", "a${HOME}b", "a\\b", "ends\\", 'a"b', "a # b", "é"])
def test_a_secret_that_is_given_is_read_back_as_it_is(tmp_path: Path, secret: str) -> None:
    for listen in ("127.0.0.1:1111", "127.0.0.1:2222"):
        first_start.prepare(
            Config(data_dir=tmp_path, listen=listen),
            {"BUS_PASS": secret} if listen.endswith("1") else {},
        )
        assert env_file.read(tmp_path / "claude-bus.env")["BUS_PASS"] == secret


def test_a_secret_of_two_lines_is_refused_and_an_empty_one_never_written(tmp_path: Path) -> None:
    for secret in ("a\nb", "\udce9"):
        with pytest.raises(BadSetting, match="BUS_PASS"):
            first_start.prepare(Config(data_dir=tmp_path), {"BUS_PASS": secret})
    (tmp_path / "claude-bus.env").write_text("BUS_URL=http://127.0.0.1:1\nBUS_PASS=\n")
    before = (tmp_path / "claude-bus.env").read_text()
    first_start.prepare(Config(data_dir=tmp_path), {})
    assert (
        tmp_path / "claude-bus.env"
    ).read_text() != before  # the first credential was missing, and is made
    (tmp_path / "claude-bus.env").write_text(before)
    first_start.prepare(Config(data_dir=tmp_path), {})
    assert (tmp_path / "claude-bus.env").read_text() == before


def test_a_taken_address_is_told_before_anything_is_said_of_it(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(
            OSError,
            match=(
                r"cannot be listened at .*: if a hub runs there already, use it; else set another"
                r" BUS_LISTEN"
            ),
        ):
            first_start.refuse_taken_address(
                Config(data_dir=tmp_path, listen=f"127.0.0.1:{taken.getsockname()[1]}")
            )


@pytest.mark.parametrize(
    "listen", ["8787", "127.0.0.1:99999", "127.0.0.1:", ":8787x", "localhost:0", "unix:bus.sock"]
)
def test_an_address_that_cannot_be_is_refused(listen: str) -> None:
    with pytest.raises(BadSetting, match="BUS_LISTEN"):
        Config.from_env({"BUS_LISTEN": listen})


def test_one_bad_line_of_credentials_is_one_users_trouble(bus: Caller, config: Config) -> None:
    good = config.credentials_file.read_bytes()
    bad = b"bob:{SSHA}x\nnobody\n# B\xfcro\nj\xf6rg:{SSHA}x\n"
    config.credentials_file.write_bytes(b"\xef\xbb\xbf" + good + bad)
    assert bus.get("/health").status_code == 200
    file.put(config.credentials_file, "ann", "secret")
    assert bus.get("/health").status_code == 200
    assert bad in config.credentials_file.read_bytes()


def test_a_log_that_went_missing_is_not_replaced_by_an_empty_one(
    bus: Caller, config: Config
) -> None:
    bus.say("precious")
    bus.hub.log.close()
    (config.data_dir / "bus.jsonl").unlink()
    with pytest.raises(StorageFailed, match="missing"):
        create_app(config)
    assert not (config.data_dir / "bus.jsonl").exists()


def test_a_log_put_back_while_no_hub_ran_is_served_whole(bus: Caller, config: Config) -> None:
    path = config.data_dir / "bus.jsonl"
    bus.say("one")
    early = path.read_bytes()
    bus.say("two")
    late = path.read_bytes()
    bus.hub.log.close()
    path.write_bytes(early)
    for name in ("index.db", "index.db-wal", "index.db-shm", "run/state"):
        (config.data_dir / name).unlink(missing_ok=True)
    create_app(config).extensions["bus"].log.close()
    path.write_bytes(late)
    first_start.restore(config)
    assert Caller(create_app(config)).bodies("to=bob") == ["one", "two"]


def test_the_first_start_makes_an_admin_whose_secret_only_its_owner_can_read(
    config: Config,
) -> None:
    said = first_start.prepare(config, {})
    env = config.data_dir / "admin.env"
    assert any(str(env) in line for line in said)
    assert stat.S_IMODE(env.stat().st_mode) == 0o600
    known = dotenv_values(env)
    assert known["BUS_URL"] == first_start.base_url(config)
    credentials = Credentials(config.credentials_file)
    assert credentials.users() == {"claude": SHARED, "admin": ADMIN}
    assert credentials.knows("admin", known["BUS_PASS"] or "")
    assert first_start.prepare(config, {}) == []
    assert dotenv_values(env) == known


def test_an_old_hub_gets_its_admin_at_the_next_start(config: Config) -> None:
    """A credential file as it was before there were roles."""
    credentials = Credentials(config.credentials_file)
    credentials.add("claude", "old secret")
    first_start.prepare(config, {})
    assert credentials.users()["admin"] == ADMIN
    assert credentials.knows("claude", "old secret")


def test_an_old_user_called_admin_does_not_become_one(config: Config) -> None:
    credentials = Credentials(config.credentials_file)
    credentials.add("admin", "old secret")
    assert "credential add NAME --admin" in first_start.prepare(config, {})[-1]
    assert credentials.users() == {"admin": MEMBER}


def test_a_deleted_admin_file_is_not_made_again(config: Config) -> None:
    first_start.prepare(config, {})
    (config.data_dir / "admin.env").unlink()
    assert first_start.prepare(config, {}) == []
    assert not (config.data_dir / "admin.env").exists()


def test_a_crash_before_the_admin_was_made_leaves_a_file_that_is_replaced(config: Config) -> None:
    config.data_dir.mkdir()
    (config.data_dir / "admin.env").write_text("BUS_PASS=lost\n")
    first_start.prepare(config, {})
    assert Credentials(config.credentials_file).knows(
        "admin", dotenv_values(config.data_dir / "admin.env")["BUS_PASS"] or ""
    )


def test_behind_a_proxy_a_start_leaves_its_address_alone(tmp_path: Path) -> None:
    config = Config(data_dir=tmp_path, listen=f"unix:{tmp_path}/hub.sock")
    first_start.prepare(config, {})
    for name in ("claude-bus.env", "admin.env"):
        text = (tmp_path / name).read_text()
        (tmp_path / name).write_text(text.replace("http://localhost", "https://bus.example.org"))
    assert first_start.prepare(config, {}) == []
    assert dotenv_values(tmp_path / "admin.env")["BUS_URL"] == "https://bus.example.org"


@pytest.mark.parametrize("name", ["a b", "claude/x", "ä", "--"])
def test_a_shared_user_that_cannot_be_is_refused(name: str) -> None:
    with pytest.raises(BadSetting, match="BUS_SHARED_USER"):
        Config.from_env({"BUS_SHARED_USER": name})


# -- the commands --------------------------------------------------------------------------------


@pytest.fixture
def run(config: Config, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """A command of `python -m bus` on a hub that has been started before."""
    first_start.prepare(config, {})
    create_app(config).extensions["bus"].log.close()
    monkeypatch.setenv("BUS_DATA_DIR", str(config.data_dir))
    monkeypatch.delenv("BUS_URL", raising=False)
    return lambda *words: CliRunner().invoke(main, words)


def test_a_credential_is_added_rotated_and_revoked_here(
    run: Callable[..., Result], config: Config
) -> None:
    made = json.loads(run("credential", "add", "web1", "--json").stdout)
    assert made["name"] == "web1"
    rotated = json.loads(run("credential", "rotate", "web1", "--json").stdout)
    credentials = Credentials(config.credentials_file)
    assert credentials.knows("web1", made["secret"]) and credentials.knows(
        "web1", rotated["secret"]
    )
    listed = json.loads(run("credential", "list", "--json").stdout)["credentials"]
    assert [(one["name"], one["role"]) for one in listed] == [
        ("admin", "admin"),
        ("claude", "shared"),
        ("web1", "member"),
    ]
    assert "web1: member, the secret before is good until" in run("credential", "list").stdout
    run("credential", "rotate", "web1", "--overlap", "0")
    assert not credentials.knows("web1", rotated["secret"])
    assert run("credential", "revoke", "web1").stdout == "revoked web1\n"
    records = [
        json.loads(line) for line in run("export", "--kind", "credential").stdout.splitlines()
    ]
    assert [(one["action"], one["name"], one["by"]) for one in records] == [
        (action, "web1", "operator") for action in ("add", "rotate", "rotate", "revoke")
    ]
    assert made["secret"] not in (config.data_dir / "bus.jsonl").read_text()


def test_an_invite_is_a_line_to_paste(
    run: Callable[..., Result], config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = json.loads(run("invite", "web1", "--admin", "--json").stdout)
    assert made["line"] == f"bus join {first_start.base_url(config)} --invite {made['code']}"
    assert made["role"] == "admin"
    for local in ("http://127.0.0.1:8787", "http://localhost", "http://[::1]:8787"):
        monkeypatch.setenv("BUS_URL", local)
        ran = run("invite", "web3")
        assert ran.stdout.startswith(f"bus join {local} --invite ")
        assert "this machine's own" in ran.stderr
        assert "Add the other machines" in ran.stderr
    monkeypatch.setenv("BUS_URL", "https://bus.example.org")
    assert run("invite", "web2").stderr == ""
    line = run("invite", "web2").stdout
    assert re.fullmatch(r"bus join https://bus\.example\.org --invite [\w.-]+\n", line)
    assert "web2: invited as member until" in run("credential", "list").stdout


@pytest.mark.parametrize(
    "words",
    [
        ("add", "human"),
        ("add", "claude"),
        ("add", "ADMIN"),
        ("rotate", "nobody"),
        ("revoke", "nobody"),
        ("revoke", "admin"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_code_2(
    run: Callable[..., Result], words: tuple[str, str]
) -> None:
    result = run("credential", *words)
    assert result.exit_code == 2
    assert result.stderr.startswith("bus: ") and result.stderr.count("\n") == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act for another user")
@pytest.mark.parametrize(
    "command", [["compress"], ["reindex"], ["export"], ["init"], ["credential", "add", "web1"]]
)
def test_what_root_does_leaves_everything_to_the_owner_of_the_folder(command: list[str]) -> None:
    nobody = 65534
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environ = {
            **os.environ,
            "BUS_DATA_DIR": name,
            "BUS_SEGMENT_MAX_BYTES": "4096",
            "BUS_LXC": "none",
        }
        config = Config.from_env(environ)
        first_start.prepare(config, {"BUS_USER": USER, "BUS_PASS": PASSWORD})
        with contextmanager(opened)(create_app(config)) as hub:
            for _ in range(8):
                hub.say("x" * 2000)
        for path in (folder, *folder.rglob("*")):
            os.chown(path, nobody, nobody)
        for gone in ("index.db", "index.db-wal", "index.db-shm", "claude-bus.env", "admin.env"):
            (folder / gone).unlink(missing_ok=True)
        if command == ["init"]:
            (folder / "credentials").unlink()
        done = subprocess.run(
            [sys.executable, "-m", "bus", *command],
            env=environ,
            cwd=ROOT,
            capture_output=True,
            check=False,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert {path.stat().st_uid for path in folder.rglob("*")} == {nobody}


def test_a_kind_of_record_that_does_not_exist_is_not_exported(bus: Caller, config: Config) -> None:
    bus.say()
    environ = {"BUS_DATA_DIR": str(config.data_dir)}
    ran = CliRunner().invoke(main, ["export", "--kind", "bogus"], env=environ)
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert (
        CliRunner().invoke(main, ["export", "--kind", "message"], env=environ).stdout.count("\n")
        == 1
    )
