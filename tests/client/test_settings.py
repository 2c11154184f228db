"""Where settings are found, and what they may be."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from busclient import Settings, SettingsError
from busclient._joining import quoted
from busclient._places import Places
from busclient._settings import read_env_file


def write_env(places: Places, text: str) -> None:
    places.env_file.parent.mkdir(parents=True, exist_ok=True)
    places.env_file.write_bytes(text.encode())


def write_net(places: Places, **config: str) -> None:
    places.net_config.parent.mkdir(parents=True, exist_ok=True)
    places.net_config.write_text(json.dumps(config))


FILE = "BUS_URL=http://file:1\nBUS_USER=fileuser\nBUS_PASS=filepass\nBUS_NAME=fileme\n"


def test_the_environment_wins_over_the_file_and_that_over_the_older_one(places: Places) -> None:
    write_env(places, FILE)
    write_net(places, machine="netme", sshHost="ovh5")
    found = Settings.find({"BUS_URL": "http://env:1"}, places)
    assert (found.url, found.user, found.password, found.name, found.ssh_host) == (
        "http://env:1",
        "fileuser",
        "filepass",
        "fileme",
        None,
    )
    assert found.sources["BUS_URL"] == "environment"
    assert found.sources["BUS_PASS"] == str(places.env_file)


def test_the_older_file_gives_name_and_ssh_host(places: Places) -> None:
    write_net(places, machine="laptopclaude", sshHost="ovh5")
    found = Settings.find({"BUS_PASS": "p"}, places)
    assert (found.name, found.ssh_host, found.url) == ("laptopclaude", "ovh5", "http://127.0.0.1:8787")
    assert not found.is_loopback


def test_an_ssh_host_called_local_means_direct_http(places: Places) -> None:
    write_net(places, machine="server", sshHost="local")
    found = Settings.find({"BUS_PASS": "p"}, places)
    assert (found.ssh_host, found.url, found.is_loopback) == (None, "http://127.0.0.1:8787", True)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("BUS_PASS = spaced ", "spaced"),
        ("export BUS_PASS='a # b'", "a # b"),
        ('BUS_PASS="a \\" b"', 'a " b'),
        ("BUS_PASS=a#b # said", "a#b"),
        ("BUS_PASS=$HOME", "$HOME"),
        ("BUS_PASS='it is'\r", "it is"),
    ],
)
def test_spaces_quotes_hashes_and_crlf_in_the_file_are_fine(places: Places, line: str, value: str) -> None:
    write_env(places, f"# mine\r\nBUS_URL=http://file:1\r\n{line}\nOTHER=x\n")
    assert Settings.find({}, places).password == value


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\u2028\u2029\x85"), min_size=1))
@example("a\\b'c\\")
def test_what_join_writes_is_read_back(tmp_path_factory: pytest.TempPathFactory, value: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.env"
    path.write_text(f"BUS_PASS={quoted(value)}\n")
    assert read_env_file(path) == {"BUS_PASS": value}


def test_missing_settings_name_every_place(places: Places) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.find({}, places)
    assert "BUS_URL and BUS_PASS" in caught.value.message
    assert str(places.env_file) in caught.value.message
    assert "bus join" in caught.value.hint


def test_files_that_cannot_be_read_are_named(places: Places) -> None:
    write_net(places)
    places.net_config.write_text("{")
    with pytest.raises(SettingsError, match=r"config\.json"):
        Settings.find({"BUS_URL": "http://x:1", "BUS_PASS": "p"}, places)
    places.net_config.unlink()
    write_env(places, "")
    places.env_file.write_bytes(b"BUS_PASS=\xff\n")
    with pytest.raises(SettingsError, match=r"claude-bus\.env"):
        Settings.find({"BUS_URL": "http://x:1"}, places)


@pytest.mark.parametrize("url", ["", "hub", "ftp://hub", "http://", "http://hub:99999", "http://hub/?a=1", "http://u:secret@hub"])
def test_an_address_that_cannot_be_one_is_refused(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings(url=url, password="p", name="me")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["any", "all", "no name", "-x", "x" * 65, "a/b/c"])
def test_a_name_that_cannot_be_one_is_refused(name: str) -> None:
    with pytest.raises(SettingsError):
        Settings(url="http://hub", password="p", name=name)


def test_the_name_is_the_credentials_unless_that_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "_my host.example.org")
    assert Settings(url="http://hub", password="p", user="seanclaude").name == "seanclaude"
    assert Settings(url="http://hub", password="p").name == "my-host"


def test_handoffs_may_begin_with_a_tilde(places: Places, home: Path) -> None:
    found = Settings.find({"BUS_URL": "http://hub", "BUS_PASS": "p", "BUS_HANDOFFS": "~/notes"}, places)
    assert found.handoffs == home / "notes"
