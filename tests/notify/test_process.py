"""`python -m bus notify` as a process: killed in the middle, stopped, started twice, set up
wrongly.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.conftest import ROOT, RunningHub, wait_until
from tests.notify.conftest import write_settings
from tests.notify.fake_telegram import TOKEN, FakeTelegram
from tests.notify.webhooks.conftest import Receiver, say

pytestmark = pytest.mark.slow


@contextmanager
def notify(hub: RunningHub) -> Iterator[subprocess.Popen[bytes]]:
    """The process, once it follows the log."""
    log = hub.data_dir.parent / "notify.log"
    with open(log, "ab") as output:
        before = output.tell()
        process = subprocess.Popen(
            [sys.executable, "-m", "bus", "notify"],
            cwd=ROOT,
            env=hub.environ,
            stdout=output,
            stderr=output,
        )
    try:
        wait_until(lambda: "notices are sent" in log.read_text()[before:])
        yield process
    finally:
        process.kill()
        process.wait(20)


def settings(receiver: Receiver) -> str:
    return f'[services.pager]\ntype = "http"\nurl = "{receiver.url}"\n[[rules]]\nsend = "pager"\n'


def told(receiver: Receiver) -> list[str]:
    return [json.loads(got.body)["text"] for got in receiver.got]


def test_a_kill_in_the_middle_of_a_batch_loses_nothing_and_doubles_one_at_most(
    hub_at: Callable[..., RunningHub], receiver: Receiver
) -> None:
    hub = hub_at(BUS_WORKERS="1")
    write_settings(hub.data_dir / "notify.toml", settings(receiver))
    yes = say(200)

    def hang_at_third(request: Any) -> None:
        yes(request) if len(receiver.got) != 3 else receiver.hang(request)

    receiver.answer = hang_at_third
    with notify(hub) as process:
        for number in range(6):
            hub.say(str(number))
        wait_until(lambda: len(receiver.got) == 3)
        process.send_signal(signal.SIGKILL)
        process.wait(20)
    hub.say("6")
    with notify(hub) as process:
        wait_until(lambda: told(receiver)[-1:] == ["6"])
        again = subprocess.run(
            [sys.executable, "-m", "bus", "notify"], cwd=ROOT, env=hub.environ, capture_output=True
        )
        assert again.returncode == 2
        assert b"another process sends the notices" in again.stderr
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert told(receiver) == [*"012", *"23456"]
    twice = [json.loads(got.body).get("maybe_twice", False) for got in receiver.got]
    assert twice == [False, False, False, True, False, False, False, False]


def test_telegram_is_heard_and_told_over_a_kill(hub_at: Callable[..., RunningHub]) -> None:
    hub, api = hub_at(BUS_WORKERS="1"), FakeTelegram()
    write_settings(
        hub.data_dir / "notify.toml",
        f"""
[services.ops]
type = "telegram"
token = "{TOKEN}"
chat = -100
users = {{ "501" = "chas" }}
api = "{api.url}"
[[rules]]
send = "ops"
""",
    )
    chas = {"id": 501, "is_bot": False}
    try:
        with notify(hub) as process:
            api.message("/send bob first", chas)
            wait_until(lambda: any("→ bob\nfirst" in text for text in api.texts()))
            wait_until(lambda: any("sent to bob" in text for text in api.texts()))
            process.send_signal(signal.SIGKILL)
            process.wait(20)
        api.message("/send bob second", chas)
        api.updates.insert(0, {"update_id": 1, "message": {"text": "/send bob old", "from": chas}})
        with notify(hub):
            wait_until(lambda: any("→ bob\nsecond" in text for text in api.texts()))
        mail = hub.get("/messages?to=bob").json()["messages"]
        assert [(one["from"], one["body"]) for one in mail] == [
            ("human/chas", "first"),
            ("human/chas", "second"),
        ]
    finally:
        api.close()


def test_wrong_settings_end_it_with_one_line(hub_at: Callable[..., RunningHub]) -> None:
    hub = hub_at(BUS_WORKERS="1")
    told = hub.run("notify")
    assert told.returncode == 2
    assert "there is no" in told.stderr
    write_settings(hub.data_dir / "notify.toml", '[services.a]\ntype = "http"\n')
    told = hub.run("notify", "--check")
    assert told.returncode == 2
    assert "services.a.url is missing" in told.stderr
    assert len(told.stderr.splitlines()) == 1
