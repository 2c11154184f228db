"""A hub whose certificate this machine does not trust: what each command says of it, and that
nothing was sent.
"""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from werkzeug.serving import make_server

from busclient import Bus, LocalTrouble, NotTrusted, Settings, Unreachable
from busclient._cli import exits
from busclient._joining import redeem
from busclient._places import Places
from tests.client.conftest import QUICK, Served, command, environ_for
from tests.conftest import PASSWORD, USER, free_port

pytestmark = pytest.mark.usefixtures("way")


@pytest.fixture
def untrusted(tmp_path: Path) -> Iterator[tuple[str, list[str]]]:
    """A server of a self-signed certificate: its address, and the paths that were asked for."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    pair = ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")]
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc", "-days", "2"]
    named = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run(
        ["openssl", "req", "-x509", *kind, *named, *pair], check=True, capture_output=True
    )
    asked: list[str] = []

    def app(environ: dict[str, str], start_response: object) -> list[bytes]:
        asked.append(environ["PATH_INFO"])
        return []

    server = make_server(
        "127.0.0.1",
        0,
        app,
        ssl_context=(str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")),
        threaded=True,
    )
    threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
    ).start()
    yield f"https://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def test_an_invite_that_was_not_sent_is_not_called_spent(
    untrusted: tuple[str, list[str]], places: Places
) -> None:
    url, asked = untrusted
    with pytest.raises(NotTrusted, match="not trusted: self-signed") as caught:
        redeem(url, "01I.s", places)
    assert "The invite is not spent" in caught.value.hint
    assert "CURL_CA_BUNDLE" in caught.value.hint
    assert (asked, places.env_file.exists()) == ([], False)


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid"])
def test_nor_one_whose_hub_was_not_reached(host: str, places: Places) -> None:
    with pytest.raises(Unreachable) as caught:
        redeem(f"http://{host}:{free_port()}", "01I.s", places)
    assert "The invite is not spent" in caught.value.hint


def test_a_hub_without_tls_is_told_from_a_bad_certificate(served: Served) -> None:
    url = served.url.replace("http:", "https:")
    with (
        pytest.raises(Unreachable, match="is it http, not https"),
        Bus(Settings(url=url, password="x"), patience=QUICK) as bus,
    ):
        bus.health()


def test_the_doctor_tells_it_in_the_same_words(served: Served, home: Path) -> None:
    said = command(environ_for(served.url.replace("http:", "https:"), home), "doctor").stdout
    assert "is it http, not https" in said
    assert "_ssl.c" not in said


def test_it_is_not_tried_again(untrusted: tuple[str, list[str]]) -> None:
    pauses: list[float] = []
    with Bus(
        Settings(url=untrusted[0], user=USER, password=PASSWORD, name="bob"), sleep=pauses.append
    ) as bus:
        with pytest.raises(NotTrusted):
            bus.messages()
    assert pauses == []


def test_a_command_that_was_not_sent_is_not_called_unknown(
    untrusted: tuple[str, list[str]],
) -> None:
    with Bus(
        Settings(url=untrusted[0], user=USER, password=PASSWORD, name="bob"), patience=QUICK
    ) as bus:
        with pytest.raises(NotTrusted):
            bus.admin.invite("web1")


@pytest.mark.slow
def test_a_drain_fails_its_timer_where_no_hub_that_is_away_would(
    untrusted: tuple[str, list[str]], home: Path
) -> None:
    ran = command(environ_for(untrusted[0], home), "drain", "--exec", "true")
    assert (ran.returncode, "not trusted" in ran.stderr) == (exits.LOCAL, True), ran.stderr
    away = command(environ_for(f"http://127.0.0.1:{free_port()}", home), "drain", "--exec", "true")
    assert away.returncode == exits.AWAY
    unit = (Path(__file__).parents[2] / "systemd/claude-bus-drain.service").read_text()
    (codes,) = [
        line.split("=")[1].split()
        for line in unit.splitlines()
        if line.startswith("SuccessExitStatus=")
    ]
    assert (str(exits.LOCAL) in codes, str(exits.AWAY) in codes) == (False, True)
    assert issubclass(NotTrusted, Unreachable) and not issubclass(
        NotTrusted, LocalTrouble
    )  # others may wait for it


def test_a_post_is_kept(untrusted: tuple[str, list[str]], home: Path) -> None:
    ran = command(environ_for(untrusted[0], home), "post", "alice", "for later")
    assert (ran.returncode, "not trusted" in ran.stderr) == (exits.QUEUED, True), ran.stderr
