"""Where settings are found, and what they may be."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from busclient import Settings, SettingsError, _joining, _older_fleet, _settings
from busclient._places import Places
from busclient._settings import quoted, read_env_file
from tests.conftest import ROOT


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
    found = Settings.find({"BUS_URL": "http://env:1", "BUS_PASS": "p"}, places)
    assert found.url == "http://env:1"
    assert (found.user, found.password, found.name) == ("fileuser", "p", "fileme")
    assert found.ssh_host is None
    assert found.sources["BUS_URL"] == "environment"
    assert found.sources["BUS_USER"] == str(places.env_file)
    assert found.joined_as == "fileuser"


@pytest.mark.parametrize(
    ("environ", "file", "older", "told"),
    [
        ({"BUS_URL": "http://evil:1"}, FILE, {}, "unset BUS_URL"),
        ({"BUS_URL": "http://evil:1", "BUS_USER": "me"}, FILE, {}, "unset BUS_URL"),
        ({"BUS_SSH_HOST": "evil"}, FILE, {}, "unset BUS_SSH_HOST"),
        ({"BUS_URL": "http://x:1", "BUS_SSH_HOST": "e"}, FILE, {}, "unset BUS_URL BUS_SSH_HOST"),
        ({"BUS_URL": "http://evil:1"}, "BUS_PASS=p\n", {"sshHost": "ovh5"}, "unset BUS_URL"),
        ({"BUS_URL": "http://evil:1"}, "BUS_PASS=p\n", {"url": "http://file:1"}, "unset BUS_URL"),
        ({"BUS_SSH_HOST": "evil"}, "BUS_PASS=p\n", {"sshHost": "h"}, "unset BUS_SSH_HOST"),
        ({"BUS_URL": "http://file:1/"}, FILE, {}, None),
        ({"BUS_URL": "http://evil:1", "BUS_PASS": "own"}, FILE, {}, None),
        ({"BUS_URL": "http://new:1"}, "BUS_PASS=p\n", {}, None),
        ({"BUS_SSH_HOST": "new"}, "BUS_PASS=p\n", {}, None),
        ({}, FILE, {"sshHost": "ovh5"}, None),
    ],
)
def test_the_environment_does_not_lead_a_files_password_to_another_hub(
    environ: dict[str, str], file: str, older: dict[str, str], told: str | None, places: Places
) -> None:
    write_env(places, file)
    if older:
        write_net(places, machine="me", **older)
    if told is None:
        assert Settings.find(environ, places).password in ("filepass", "own", "p")
    else:
        with pytest.raises(SettingsError, match="another hub") as caught:
            Settings.find(environ, places)
        assert caught.value.hint.endswith(told)
        polled = subprocess.run(
            ["sh", str(ROOT / "scripts" / "session-start-poll")], capture_output=True, check=True,
            text=True,
            env={"HOME": str(places.env_file.parents[1]), "PATH": os.environ["PATH"], **environ},
        ).stdout  # fmt: skip
        assert "leads to another hub" in polled


def test_the_older_file_gives_name_and_ssh_host(places: Places) -> None:
    write_net(places, machine="laptopclaude", sshHost="ovh5")
    found = Settings.find({"BUS_PASS": "p"}, places)
    assert (found.name, found.ssh_host, found.url) == (
        "laptopclaude",
        "ovh5",
        "http://127.0.0.1:8787",
    )
    assert not found.is_loopback


ROUTES = (
    "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
    "eth0\t0003A80A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
    "eth0\t00000000\t{gateway}\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
)


def by_script(root: Path, home: Path) -> str:
    """The address that session-start-poll finds, with another folder in place of /."""
    script = (
        (ROOT / "scripts" / "session-start-poll")
        .read_text()
        .replace("\nroot= ", f"\nroot={root} ", 1)
    )
    head = script.partition("\ncase $ssh_host in -*")[0]
    return subprocess.run(
        ["sh", "-c", f'{head}\nprintf "%s %s" "$url" "$ssh_host"'], capture_output=True, check=True,
        text=True,
        env={"HOME": str(home), "PATH": os.environ["PATH"], "BUS_PASS": "p"},
    ).stdout  # fmt: skip


@pytest.mark.parametrize(
    ("sign", "gateway", "url"),
    [
        ("run/systemd/container", "0103A80A", "http://10.168.3.1:8787"),
        ("dev/lxd", "FE10A8C0", "http://192.168.16.254:8787"),
        (
            "dev/lxd",
            "01020304",
            "http://127.0.0.1:8787",
        ),  # a public one: no credential goes there in the clear
        ("dev/lxd", "010200C0", "http://127.0.0.1:8787"),  # 192.0.2.1
        ("dev/lxd", None, "http://127.0.0.1:8787"),
        ("etc", "0103A80A", "http://127.0.0.1:8787"),  # no container
    ],
)
def test_in_a_container_local_is_its_host_at_the_bridge(
    places: Places,
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    sign: str,
    gateway: str | None,
    url: str,
) -> None:
    root = tmp_path / "root"
    (root / sign).mkdir(parents=True)
    (root / "proc/net").mkdir(parents=True)
    if gateway is not None:
        (root / "proc/net/route").write_text(ROUTES.format(gateway=gateway))
    monkeypatch.setattr(_older_fleet.url_of_host, "__defaults__", (root,))
    write_net(places, machine="web", sshHost="local")
    found = Settings.find({"BUS_PASS": "p"}, places)
    assert (found.url, found.ssh_host) == (url, None)
    assert by_script(root, home) == f"{url} "


def test_a_url_in_the_older_file_settles_it(places: Places, home: Path) -> None:
    for host in ("local", "ovh5"):
        write_net(places, machine="web", sshHost=host, url="http://10.0.0.7:9999")
        found = Settings.find({"BUS_PASS": "p"}, places)
        assert (found.url, found.ssh_host, found.name) == ("http://10.0.0.7:9999", None, "web")
        assert by_script(Path("/nowhere"), home) == "http://10.0.0.7:9999 "


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
def test_spaces_quotes_hashes_and_crlf_in_the_file_are_fine(
    places: Places, line: str, value: str
) -> None:
    write_env(places, f"# mine\r\nBUS_URL=http://file:1\r\n{line}\nOTHER=x\n")
    assert Settings.find({}, places).password == value


@given(
    st.text(
        st.characters(
            codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\u2028\u2029\x85"
        ),
        min_size=1,
    )
)
@example("a\\b'c\\")
def test_what_join_writes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, value: str
) -> None:
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
    places.env_file.write_text("BUS_PASS=p\n", encoding="utf-16")
    with pytest.raises(SettingsError, match=r"claude-bus\.env is UTF-16"):
        Settings.find({"BUS_URL": "http://x:1"}, places)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hub",
        "ftp://hub",
        "http://",
        "http://hub:99999",
        "http://hub/?a=1",
        "http://u:secret@hub",
    ],
)
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
    found = Settings.find(
        {"BUS_URL": "http://hub", "BUS_PASS": "p", "BUS_HANDOFFS": "~/notes"}, places
    )
    assert found.handoffs == home / "notes"


def test_a_link_of_dotfiles_is_followed_and_stays(places: Places, tmp_path: Path) -> None:
    kept = tmp_path / "dotfiles" / "bus.env"
    kept.parent.mkdir()
    places.env_file.parent.mkdir()
    places.env_file.symlink_to(kept)
    _settings.write_env(places.env_file, {"BUS_PASS": "one"})
    _settings.write_env(places.env_file, {"BUS_PASS": "two"}, force=True)
    _joining._replace_password(places.env_file, "three")
    assert places.env_file.is_symlink()
    assert read_env_file(kept) == {"BUS_PASS": "three"}
    assert kept.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "text",
    [
        "BUS_PASS=old",
        "\ufeffexport BUS_PASS=old\r\nBUS_NAME=n\r\n",
        "BUS_PASS='o\nld'\n",
        "BUS_PASS=a\nBUS_PASS=b\n",
        "#B\udcfc\rBUS_PASS=x\r",
    ],
)
def test_a_new_password_takes_the_place_of_the_old_in_any_form(places: Places, text: str) -> None:
    places.env_file.parent.mkdir()
    places.env_file.write_bytes(text.encode("utf-8", "surrogateescape"))
    before = read_env_file(places.env_file)
    _joining._replace_password(places.env_file, "it's new")
    assert read_env_file(places.env_file) == {**before, "BUS_PASS": "it's new"}


def test_an_empty_secret_is_never_written(places: Places) -> None:
    with pytest.raises(SettingsError, match="BUS_PASS would be empty"):
        _settings.write_env(places.env_file, {"BUS_URL": "http://x", "BUS_PASS": ""})
    assert not places.env_file.exists()


def test_a_line_of_the_settings_that_says_nothing_is_named_once(
    places: Places, caplog: pytest.LogCaptureFixture
) -> None:
    places.env_file.parent.mkdir()
    places.env_file.write_text("# mine\nBUS_URL http://hub\nBUS_PASS='x'\n")
    with pytest.raises(SettingsError, match="BUS_URL is set nowhere"):
        Settings.find({}, places)
    assert caplog.messages == [
        f"line 2 of {places.env_file} is not NAME=value and counts for nothing"
    ]


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_file_that_is_spoilt_is_to_be_mended(places: Places, text: str) -> None:
    places.net_config.parent.mkdir()
    places.net_config.write_text(text)
    with pytest.raises(SettingsError) as caught:
        Settings.find({}, places)
    assert "Mend the file" in caught.value.hint
