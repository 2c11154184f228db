"""What a start makes, and what it refuses to make."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from dotenv import dotenv_values

from bus import create_app, setup
from bus.config import BadSetting, Config
from bus.credentials import Credentials
from bus.errors import StorageFailed
from tests.conftest import Caller


def test_the_password_that_is_set_is_the_one_that_counts(config: Config) -> None:
    setup.prepare(config, {"BUS_USER": "ann", "BUS_PASS": "first"})
    setup.prepare(config, {"BUS_USER": "ann", "BUS_PASS": "second"})
    credentials = Credentials(config.credentials_file)
    assert credentials.knows("ann", "second")
    assert not credentials.knows("ann", "first")


def test_the_env_file_follows_the_address(tmp_path: Path) -> None:
    setup.prepare(Config(data_dir=tmp_path, listen="127.0.0.1:1111"), {})
    before = dotenv_values(tmp_path / "claude-bus.env")
    setup.prepare(Config(data_dir=tmp_path, listen="127.0.0.1:2222"), {})
    assert dotenv_values(tmp_path / "claude-bus.env") == {**before, "BUS_URL": "http://127.0.0.1:2222"}


def test_a_taken_address_is_told_before_anything_is_said_of_it(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match="cannot be listened at"):
            setup.refuse_taken_address(Config(data_dir=tmp_path, listen=f"127.0.0.1:{taken.getsockname()[1]}"))


@pytest.mark.parametrize("listen", ["8787", "127.0.0.1:99999", "127.0.0.1:", ":8787x", "localhost:0", "unix:bus.sock"])
def test_an_address_that_cannot_be_is_refused(listen: str) -> None:
    with pytest.raises(BadSetting, match="BUS_LISTEN"):
        Config.from_env({"BUS_LISTEN": listen})


def test_one_bad_line_of_credentials_is_one_users_trouble(bus: Caller, config: Config) -> None:
    with open(config.credentials_file, "a") as file:
        file.write("bob:{SSHA}x\nnobody\n")
    assert bus.get("/health").status_code == 200


def test_a_log_that_went_missing_is_not_replaced_by_an_empty_one(bus: Caller, config: Config) -> None:
    bus.say("precious")
    bus.app.extensions["bus"].log.close()
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
    bus.app.extensions["bus"].log.close()
    path.write_bytes(early)
    for name in ("index.db", "index.db-wal", "index.db-shm", "run/state"):
        (config.data_dir / name).unlink(missing_ok=True)
    create_app(config).extensions["bus"].log.close()
    path.write_bytes(late)
    setup.restore(config)
    assert Caller(create_app(config)).bodies("to=bob") == ["one", "two"]
