"""Clients that post to hubs without pause, and a ledger of what each post was answered with.

The ledger lives in the process of the test, outside of every fault. A post is acknowledged when its
201 has been read to the end; the time of that is noted, since only acknowledgements before a power
cut count.
"""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tests.conftest import BASIC, wait_until

PAUSE_S = 0.02  # before the same post is tried again


@dataclass
class Post:
    """One message on its way.

    Times are those of `time.monotonic`; `acked` is None until its 201.
    """

    key: str
    body: str
    sent: float = 0.0
    acked: float | None = None
    seq: int = 0
    attempts: int = 0


class Load:
    """`clients` threads that post to `urls` by turns.

    With `retries` a failed post is tried again under its key until it is acknowledged; without,
    each failure counts and the client goes on. Every second client opens a connection for each
    request, the others keep theirs; `timeout_s` is how long one waits for an answer.
    """

    def __init__(
        self,
        urls: Sequence[str],
        seed: object,
        *,
        clients: int = 6,
        retries: bool = True,
        timeout_s: float = 20,
    ) -> None:
        self._addresses = [urlsplit(url).netloc for url in urls]
        self._seed, self._retries, self._timeout_s = seed, retries, timeout_s
        self.posts: list[Post] = []
        self.failures: Counter[str] = Counter()
        self.first_failure: dict[str, float] = {}
        self.acknowledged = 0
        self._mutex = threading.Lock()
        self._stopping = threading.Event()
        self._give_up = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(number,), daemon=True)
            for number in range(clients)
        ]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.stop(30 if kind is None else 0)

    def stop(self, grace_s: float) -> None:
        """No new posts; those that are being retried have `grace_s` to come through."""
        self._stopping.set()
        deadline = time.monotonic() + grace_s
        for thread in self._threads:
            thread.join(max(0, deadline - time.monotonic()))
        self._give_up.set()
        for thread in self._threads:
            thread.join(self._timeout_s + 5)
            assert not thread.is_alive(), "a client hangs"

    def progress(self, count: int, within_s: float = 60) -> None:
        """Wait until `count` more posts are acknowledged."""
        target = self.acknowledged + count
        wait_until(lambda: self.acknowledged >= target, within_s)

    def activity(self, count: int, within_s: float = 60) -> None:
        """Wait until `count` more attempts have ended, well or not."""
        target = self.acknowledged + self.failures.total() + count
        wait_until(lambda: self.acknowledged + self.failures.total() >= target, within_s)

    def acked(self, before: float | None = None) -> list[Post]:
        """The acknowledged posts, or those acknowledged before a time."""
        with self._mutex:
            posts = list(self.posts)
        return [
            post
            for post in posts
            if post.acked is not None and (before is None or post.acked < before)
        ]

    def acked_though_sent_after(self, moment: float) -> list[Post]:
        """The posts that were begun after a time and acknowledged all the same."""
        return [post for post in self.acked() if post.sent > moment]

    def _run(self, number: int) -> None:
        rng = random.Random(f"{self._seed}:{number}")
        connection: http.client.HTTPConnection | None = None
        turn = 0
        while not self._stopping.is_set():
            turn += 1
            post = Post(f"{self._seed}-{number}-{turn}", _text(rng, number, turn))
            with self._mutex:
                self.posts.append(post)
            while post.acked is None and not self._give_up.is_set():
                address = self._addresses[(number + turn + post.attempts) % len(self._addresses)]
                if connection is None or f"{connection.host}:{connection.port}" != address:
                    close(connection)
                    connection = http.client.HTTPConnection(address, timeout=self._timeout_s)
                is_saved = self._attempt(post, number, connection)
                if number % 2 or not is_saved:
                    connection = close(connection)
                if not is_saved:
                    if not self._retries:
                        break
                    self._give_up.wait(PAUSE_S)
        close(connection)

    def _attempt(self, post: Post, number: int, connection: http.client.HTTPConnection) -> bool:
        message = {"from": f"client{number}", "to": "bob", "body": post.body, "client_id": post.key}
        post.attempts += 1
        post.sent = time.monotonic()
        try:
            connection.request(
                "POST",
                "/post",
                json.dumps(message),
                {"Authorization": BASIC, "Content-Type": "application/json"},
            )
            reply = connection.getresponse()
            answer: dict[str, Any] = json.loads(reply.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._failed(type(error).__name__)
            return False
        if reply.status not in (200, 201):
            self._failed(answer.get("error", str(reply.status)))
            return False
        with self._mutex:
            post.seq, post.acked = answer["seq"], time.monotonic()
            self.acknowledged += 1
        return True

    def _failed(self, why: str) -> None:
        with self._mutex:
            self.failures[why] += 1
            self.first_failure.setdefault(why, time.monotonic())


def close(connection: http.client.HTTPConnection | None) -> None:
    if connection is not None:
        connection.close()


def _text(rng: random.Random, number: int, turn: int) -> str:
    """A body that names its post: mostly short, some of many blocks."""
    length = rng.choice([0, 20, 200, 200, 200, 1_000, 4_000, 20_000 if rng.random() < 0.2 else 400])
    return f"{number}:{turn}:" + "".join(rng.choices('abcdef 0123456789\n"\\\u2028é', k=length))
