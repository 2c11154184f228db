"""apprise, against local servers that check the bytes: json://, ntfy://, mailto://."""

from __future__ import annotations

import email
import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from email.policy import default
from typing import Any

import pytest

from bus.config import BadSetting
from tests.notify.conftest import Notifying
from tests.notify.test_notices import post
from tests.notify.webhooks.conftest import Receiver, say

Start = Callable[[str], Notifying]


def settings(url: str, more: str = "") -> str:
    return f"""[services.chat]
type = "apprise"
url = "{url}"
{more}
[[rules]]
send = "chat"
"""


@pytest.fixture
def chat(receiver: Receiver) -> Receiver:
    return receiver


def test_json_has_the_title_and_the_text(notifying: Start, chat: Receiver) -> None:
    one = notifying(settings(f"json://127.0.0.1:{chat.port}/hook"))
    post(one, "all <b>green</b> & *good*\nsecond line")
    one.until_idle()
    (got,) = chat.got
    told = json.loads(got.body)
    assert got.path.startswith("/hook")
    assert (told["title"], told["message"]) == (
        "web1 → db1",
        "all <b>green</b> & *good*\nsecond line",
    )
    assert one.listed()[0]["state"] == "sent"


def test_ntfy(notifying: Start, chat: Receiver) -> None:
    one = notifying(settings(f"ntfy://127.0.0.1:{chat.port}/agents"))
    post(one, "all green ä")
    one.until_idle()
    (got,) = chat.got
    told = json.loads(got.body)
    assert (told["topic"], told["title"], told["message"]) == (
        "agents",
        "web1 → db1",
        "all green ä",
    )


class Smtp(socketserver.ThreadingTCPServer):
    """A mail server that keeps what it gets."""

    daemon_threads, allow_reuse_address = True, True

    def __init__(self, answer_to_data: bytes = b"250 taken") -> None:
        self.mails: list[tuple[list[bytes], bytes]] = []
        self.answer_to_data = answer_to_data
        super().__init__(("127.0.0.1", 0), _Session)


class _Session(socketserver.StreamRequestHandler):
    server: Smtp

    def handle(self) -> None:
        self.say(b"220 local")
        said: list[bytes] = []
        for line in self.rfile:
            word = line[:4].upper()
            if word == b"DATA":
                self.say(b"354 go on")
                lines = list(iter(self.rfile.readline, b".\r\n"))
                self.server.mails.append((said, b"".join(lines)))
                self.say(self.server.answer_to_data)
            elif word == b"QUIT":
                return self.say(b"221 bye")
            elif word in (b"EHLO", b"HELO"):
                self.say(b"250-local\r\n250 AUTH LOGIN PLAIN")
            elif word == b"AUTH":
                self.say(b"235 in")
            else:
                said.append(line.strip())
                self.say(b"250 ok")
        return None

    def say(self, line: bytes) -> None:
        self.wfile.write(line + b"\r\n")


@pytest.fixture
def smtp() -> Iterator[Smtp]:
    with Smtp() as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def mailto(smtp: Smtp) -> str:
    port = smtp.server_address[1]
    return f"mailto://me:pw@127.0.0.1:{port}/?mode=insecure&from=bus@example.org&to=a@example.org"


def test_mail(notifying: Start, smtp: Smtp) -> None:
    one = notifying(settings(mailto(smtp)))
    post(one, "all green ä\n.\nBcc: evil@example.org")
    one.until_idle()
    ((said, data),) = smtp.mails
    assert [line.split(b":")[0].upper() for line in said] == [b"MAIL FROM", b"RCPT TO"]
    assert b"<bus@example.org>" in said[0] and b"<a@example.org>" in said[1]
    mail = email.message_from_bytes(data, policy=default)
    assert mail["Subject"] == "web1 → db1"
    assert "a@example.org" in mail["To"] and mail["Bcc"] is None
    part = mail.get_body(("html", "plain"))
    assert part is not None and "all green ä" in part.get_content()


def test_mail_that_is_not_taken_is_sent_again(notifying: Start, smtp: Smtp) -> None:
    one = notifying(settings(mailto(smtp)))
    smtp.answer_to_data = b"451 later"
    post(one, "one")
    one.run(3)
    assert one.listed()[0]["state"] == "queued"
    smtp.answer_to_data = b"250 taken"
    one.until_idle()
    assert len(smtp.mails) == 2


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_passes_is_sent_again_in_order(notifying: Start, chat: Receiver, status: int) -> None:
    one = notifying(settings(f"json://127.0.0.1:{chat.port}/hook"))
    chat.answer = say(status)
    post(one, "a")
    post(one, "b")
    one.run(3)
    assert len(chat.got) == 1
    assert one.listed()[0]["error"] == f"status {status}"
    chat.answer = say(200)
    one.begin()
    one.until_idle()
    assert [json.loads(got.body)["message"] for got in chat.got] == list("aab")
    assert not any(notice["maybe_twice"] for notice in one.listed())


def test_a_server_that_hangs_up_may_have_got_it(notifying: Start, chat: Receiver) -> None:
    one = notifying(settings(f"json://127.0.0.1:{chat.port}/hook"))
    chat.answer = lambda request: request.connection.close()
    post(one, "a")
    one.run()
    (notice,) = one.listed()
    assert (notice["state"], notice["maybe_twice"]) == ("queued", True)
    chat.answer = say(200)
    one.until_idle()
    assert "told before" in json.loads(chat.got[-1].body)["message"]


def test_what_is_refused_for_what_it_is_holds_up_nothing(notifying: Start, chat: Receiver) -> None:
    one = notifying(settings(f"json://127.0.0.1:{chat.port}/hook"))
    chat.answer = say(400)
    post(one, "odd")
    one.run(2)
    chat.answer = say(200)
    post(one, "good")
    one.until_idle()
    assert [notice["state"] for notice in one.listed()] == ["dead", "sent"]


def test_a_text_is_cut_and_calls_nobody(notifying: Start, chat: Receiver) -> None:
    one = notifying(settings(f"json://127.0.0.1:{chat.port}/hook", "most = 50"))
    said = post(one, "@everyone <!channel> <@U123> @here me@example.org " + "x" * 100)
    one.until_idle()
    (told,) = (json.loads(got.body)["message"] for got in chat.got)
    assert told == f"@ everyone < !channel> <@ U123> @ here me@example. … (bus read {said['seq']})"


def test_no_secret_of_an_address_is_told(
    notifying: Start, chat: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    one = notifying(settings(f"json://me:pass-word-1@127.0.0.1:{chat.port}/TOKEN-in-path"))
    chat.answer = say(403)
    post(one, "a")
    one.run()
    shown = json.dumps(one.members.admin.get("/notices").json) + caplog.text
    assert "TOKEN-in" not in shown and "pass-word" not in shown


@pytest.mark.parametrize(
    ("url", "said"),
    [("nosuch://x", "is not one address"), ("x", "is not one address"), ("", "url is empty"),
     ("json://127.0.0.1/a, json://127.0.0.1/b", "is not one address")],
)  # fmt: skip
def test_an_address_that_apprise_does_not_know(notifying: Start, url: str, said: str) -> None:
    with pytest.raises(BadSetting, match=said):
        notifying(settings(url))


def test_without_the_package_it_says_what_to_install(
    notifying: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    modules: dict[str, Any] = {"apprise": None}
    monkeypatch.setattr(sys, "modules", {**sys.modules, **modules})
    with pytest.raises(BadSetting, match="pip install -r requirements-notify"):
        notifying(settings("json://127.0.0.1/x"))
