"""bus invite --draft: a real dovecot keeps the draft."""

from __future__ import annotations

import email
import getpass
import json
import os
import shutil
import socketserver
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any, cast

import pytest

from busclient._cli import exits
from busclient._places import Places
from tests.client.cli.net.conftest import Cli
from tests.client.doors import URL
from tests.client.stubnet import StubNet
from tests.conftest import free_port, wait_until

LINE = f"bus join {URL} --invite 01I.s"
OWNER = "me@example.org"
PASSWORD = "s3cret pass"


@pytest.fixture
def way() -> str:
    """How the command speaks to its hub, which is not what these tests are about."""
    return "requests"


class Dovecot:
    """A private dovecot: the mailboxes of `folder`, each with this one password."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.mail = folder, folder / "mail"
        self.port, self.tls_port = free_port(), free_port()
        self.cert = folder / "cert.pem"
        folder.chmod(0o755)
        self.mail.mkdir()
        user, more = getpass.getuser(), ""
        if os.getuid() == 0:  # dovecot gives no mail to root
            user = "mail"
            shutil.chown(self.mail, user)
        else:
            more = f"default_internal_user = {user}\ndefault_login_user = {user}\n"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-keyout", str(folder / "key.pem"), "-out", str(self.cert), "-days", "2",
             "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
            check=True, capture_output=True,
        )  # fmt: skip
        (folder / "users").write_text(f"{OWNER}:{{PLAIN}}{PASSWORD}\n")
        (folder / "users").chmod(0o644)
        (folder / "conf").write_text(
            f"""
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
protocols = imap
listen = 127.0.0.1
ssl = yes
ssl_cert = <{self.cert}
ssl_key = <{folder}/key.pem
mail_location = maildir:{self.mail}/%u:LAYOUT=fs
first_valid_uid = 1
{more}
passdb {{
  driver = passwd-file
  args = {folder}/users
}}
userdb {{
  driver = static
  args = uid={user} gid={user} home={self.mail}/%u
}}
service imap-login {{
  inet_listener imap {{
    port = {self.port}
  }}
  inet_listener imaps {{
    port = {self.tls_port}
  }}
}}
!include {folder}/drafts
"""
        )
        self.drafts_are(r"special_use = \Drafts")
        self.process = subprocess.Popen(["dovecot", "-F", "-c", str(folder / "conf")])
        self.wait()

    def wait(self) -> None:
        log = self.folder / "log"
        wait_until(lambda: log.exists() and "starting up" in log.read_text(), 60)

    def drafts_are(self, special: str, name: str = "Notes/Ideas") -> None:
        (self.folder / "drafts").write_text(
            f'namespace inbox {{\n  inbox = yes\n  separator = /\n  mailbox "{name}" {{\n'
            f"    auto = create\n    {special}\n  }}\n}}\n"
        )

    def reload(self) -> None:
        subprocess.run(["dovecot", "-c", str(self.folder / "conf"), "reload"], check=True)

    def drafts(self, name: str = "Notes/Ideas") -> list[tuple[str, EmailMessage]]:
        """Each draft with the flags of its file's name."""
        files = sorted((self.mail / OWNER / name).glob("[cn]*/*"))
        return [
            (
                file.name.partition(":2,")[2],
                cast("EmailMessage", email.message_from_bytes(file.read_bytes(), policy=default)),
            )
            for file in files
        ]


@pytest.fixture
def dovecot() -> Iterator[Dovecot]:
    with tempfile.TemporaryDirectory(prefix="dov") as folder:  # others enter it, paths are short
        server = Dovecot(Path(folder))
        yield server
        server.process.terminate()
        server.process.wait(20)


@pytest.fixture
def mailbox(monkeypatch: pytest.MonkeyPatch, net: StubNet) -> Callable[..., None]:
    """Sets what says where drafts go."""
    made = {"ok": True, "name": "new", "code": "01I.s", "expires": "2026-11-21T20:00:00.000Z"}
    net.on("POST /api/invites", (201, {**made, "line": LINE}))

    def settings(url: str, **more: str) -> None:
        values = {"IMAP": url, "IMAP_USER": OWNER, "IMAP_PASS": PASSWORD, **more}
        for name, value in values.items():
            monkeypatch.setenv(f"BUS_{name}", value)

    return settings


@pytest.mark.slow
def test_the_line_is_a_draft_in_the_folder_for_drafts(
    cli: Cli, mailbox: Callable[..., None], dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(dovecot.cert))
    mailbox(
        f"imaps://localhost:{dovecot.tls_port}",
        DRAFT_TO="Jörg <jorg@example.org>, ann@example.org",
        DRAFT_CC=OWNER,
    )
    ran = cli("invite", "new", "--draft")
    assert (ran.code, ran.out) == (0, f"{LINE}\n"), ran
    assert "Notes/Ideas" in ran.err
    ((flags, draft),) = dovecot.drafts()
    assert flags == "D"
    assert (draft["From"], draft["To"], draft["Cc"]) == (
        OWNER,
        "jorg@example.org, ann@example.org",
        OWNER,
    )
    assert draft["Subject"] == "claude-bus: join as new"
    assert draft["Date"] and draft["Message-ID"]
    assert f"\n    {LINE}\n" in draft.get_content()
    ran = cli("invite", "new", "--draft", "--json")
    assert json.loads(ran.out)["draft"] == {"folder": "Notes/Ideas"}
    # On loopback it may be in the clear; a password of a server that takes LOGIN alone too.
    mailbox(f"imap://localhost:{dovecot.port}")
    assert cli("invite", "new", "--draft").code == 0
    assert len(dovecot.drafts()) == 3
    assert PASSWORD not in (dovecot.folder / "log").read_text()

    # Without the special use, Gmail's name; without that, nothing.
    dovecot.drafts_are("comment = x", "[Gmail]/Drafts")
    dovecot.reload()
    wait_until(lambda: cli("invite", "new", "--draft").code == 0)
    assert dovecot.drafts("[Gmail]/Drafts")


@pytest.mark.slow
def test_what_goes_wrong_at_the_server_is_told_and_the_invite_is_printed(
    cli: Cli, mailbox: Callable[..., None], dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(what: str, advice: str) -> None:
        ran = cli("invite", "new", "--draft")
        assert (ran.code, ran.out) == (exits.LOCAL, f"{LINE}\n"), ran
        assert "the invite is good" in ran.err and what in ran.err and advice in ran.err, ran.err
        assert PASSWORD not in ran.err and "wrong" not in ran.err

    url = f"imaps://localhost:{dovecot.tls_port}"
    mailbox(url)
    fails("is not trusted", "SSL_CERT_FILE")
    monkeypatch.setenv("SSL_CERT_FILE", str(dovecot.cert))
    mailbox(url, IMAP_PASS="wrong")
    fails("did not let", "app password")
    ran = cli("invite", "new", "--draft", "--json")
    told = json.loads(ran.out)
    assert (ran.code, told["line"], told["draft"]["ok"]) == (exits.LOCAL, LINE, False)
    mailbox(f"imaps://localhost:{free_port()}")
    fails("refused", "BUS_IMAP")
    mailbox(f"imap://localhost:{dovecot.tls_port}")
    fails("No draft", "TLS")
    mailbox(url)
    dovecot.drafts_are("comment = x")
    dovecot.reload()
    wait_until(lambda: "no folder for drafts" in cli("invite", "new", "--draft").err)
    fails("no folder for drafts", "Make one")
    dovecot.drafts_are(r"special_use = \Drafts")
    dovecot.reload()
    wait_until(lambda: cli("invite", "new", "--draft").code == 0)
    shutil.rmtree(dovecot.mail / OWNER / "Notes" / "Ideas" / "tmp")
    (dovecot.mail / OWNER / "Notes" / "Ideas" / "tmp").touch()
    fails("did not take", "full")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("IMAP", "https://x"),
        ("IMAP", "imaps://me:pw@x"),
        ("IMAP", "imaps://x:port"),
        ("IMAP", "imaps://x/y"),
        ("IMAP_USER", "no address"),
        ("DRAFT_TO", "a@b, c"),
        ("DRAFT_TO", "a@b\nBcc: evil@example.org"),
        ("DRAFT_CC", "a@b\r\nX: y"),
        ("DRAFT_CC", ",".join(["a@b"] * 60)),
    ],
)
def test_settings_that_cannot_be_make_no_invite(
    cli: Cli, net: StubNet, mailbox: Callable[..., None], name: str, value: str
) -> None:
    mailbox("imaps://localhost:1", **{name: value})
    ran = cli("invite", "new", "--draft")
    assert (ran.code, ran.out) == (exits.SETTINGS, "")
    assert f"BUS_{name}" in ran.err
    assert net.bodies("/api/invites") == []
    assert PASSWORD not in ran.err


def test_a_draft_needs_its_settings(
    cli: Cli, net: StubNet, mailbox: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = cli("invite", "new", "--draft")
    assert ran.code == exits.SETTINGS
    assert all(name in ran.err for name in ("BUS_IMAP ", "BUS_IMAP_USER", "BUS_IMAP_PASS"))
    assert net.bodies("/api/invites") == []


def test_a_password_that_others_may_read_is_not_used(
    cli: Cli, net: StubNet, mailbox: Callable[..., None], tmp_path: Path, places: Places,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n")
    file.chmod(0o640)
    mailbox(f"imaps://localhost:{free_port()}", IMAP_PASS_FILE=str(file))
    monkeypatch.delenv("BUS_IMAP_PASS")
    ran = cli("invite", "new", "--draft")
    assert ran.code == exits.SETTINGS and "chmod 600" in ran.err
    file.chmod(0o600)
    ran = cli("invite", "new", "--draft")
    assert ran.code == exits.LOCAL  # it was read, and nobody listens
    assert "refused" in ran.err and "Errno" not in ran.err
    file.rename(tmp_path / "elsewhere")
    ran = cli("invite", "new", "--draft")
    assert ran.code == exits.SETTINGS
    assert "BUS_IMAP_PASS_FILE" in ran.err and "bus join URL" not in ran.err
    # That of a file goes to no server that the environment names.
    places.env_file.parent.mkdir()
    places.env_file.write_text(f"BUS_IMAP_PASS={PASSWORD}\n")
    places.env_file.chmod(0o600)
    ran = cli("invite", "new", "--draft")
    assert ran.code == exits.SETTINGS and "same place" in ran.err


def test_no_password_goes_in_the_clear_off_loopback(
    cli: Cli, mailbox: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[bytes] = []

    class Plain(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"* OK hello\r\n")
            for line in self.rfile:
                said.append(line)
                tag = line.split()[0]
                self.wfile.write(b"* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n" + tag + b" OK done\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Plain) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        # 127.0.0.1 by another name is not loopback to us.
        mailbox(f"imap://127.1:{server.server_address[1]}")
        ran = cli("invite", "new", "--draft")
        server.shutdown()
    assert ran.code == exits.LOCAL, ran
    assert said and not any(b"AUTH" in line or b"LOGIN" in line for line in said), said


@pytest.mark.parametrize(
    "answers",
    [b"", b"\xff\xfe garbage\r\n", b"* OK x\r\n", b"* OK x\r\n* CAPABILITY IMAP4rev1\r\nX OK\r\n"],
)
def test_a_server_that_hangs_up_or_talks_nonsense(
    cli: Cli, mailbox: Callable[..., None], answers: bytes
) -> None:
    class Odd(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            cast("Any", self.request).sendall(answers)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Odd) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        mailbox(f"imap://127.0.0.1:{server.server_address[1]}")
        ran = cli("invite", "new", "--draft")
        server.shutdown()
    assert (ran.code, ran.out) == (exits.LOCAL, f"{LINE}\n"), ran
