"""What a member who means harm costs another one: each attack, and the waiting of a victim who
posts and polls.

To add a row, write a function that makes one turn of the attack, and put it into `ATTACKS`:

    def numbers(mallory: Mallory) -> None:
        mallory.call("POST", "/api/exec", b"[" + b"1," * 8_000_000 + b"1]")

    Attack("16 MB of numbers to /api/exec", numbers)

The turn is repeated by `PROCESSES` processes, each with a `Mallory` of its own, as long as the
victim is measured. What has to be there before (20,000 messages, say) is a second function,
`prepare`: it runs once, after the calm figures. Each row has a hub of its own. Everything stays on
loopback, ends by itself, and ends only what it started.
"""

from __future__ import annotations

import json
import multiprocessing
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.synchronize import Event
from typing import NamedTuple

from benchmarks import hubs, load
from bus.credentials import Credentials

CALM_S, UNDER_ATTACK_S = 4.0, 6.0
PROCESSES = 2
AT_MOST = 3.0  # times the victim's calm median, and its calm p99
_PAUSE_S, _PATIENCE_S = 0.002, 30
_PASSWORD = "bench-" + "y" * 37

Row = tuple[str, str, str, bool]  # what, figure, bound, met


class Mallory:
    """A member without any permission, who means harm.

    Also `shared`: the old fleet's shared user.
    """

    def __init__(self, url: str, user: str = "mallory", password: str = _PASSWORD) -> None:
        self.url, self.user = url, user
        self.basic = "Basic " + b64encode(f"{user}:{password}".encode()).decode()
        self._connection: load.Connection | None = None

    def shared(self) -> Mallory:
        return Mallory(self.url, load.USER, load.PASSWORD)

    def request(
        self, method: str, path: str, body: bytes = b"", content_type: str = "application/json"
    ) -> bytes:
        """The bytes of a request, for attacks that do not send it as it should be."""
        return load.request(method, path, body, content_type, self.basic)

    def call(
        self, method: str, path: str, body: bytes = b"", content_type: str = "application/json"
    ) -> int:
        """Make a request over a kept connection, wait for its answer, and give the status; 0 where
        the hub hung up.
        """
        try:
            if self._connection is None:
                self._connection = load.Connection(self.url)
                self._connection.sock.settimeout(_PATIENCE_S)
            self._connection.call(self.request(method, path, body, content_type))
            return self._connection.status
        except OSError:
            self.hang_up()
            return 0

    def hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None


class Attack(NamedTuple):
    what: str
    turn: Callable[[Mallory], object] | None = None
    prepare: Callable[[Mallory], object] | None = None


def measure(only: str = "") -> Iterator[Row]:
    """A row for each attack whose name holds `only`."""
    for attack in ATTACKS:
        if only in attack.what:
            yield _row(attack)


def _row(attack: Attack) -> Row:
    with hubs.scratch() as folder, hubs.hub(folder / "data") as hub:
        for user in ("mallory", "victim"):
            Credentials(folder / "data" / "credentials").add(user, _PASSWORD)
        victim = Mallory(hub.url, "victim")
        for number in range(5):
            victim.call("POST", "/post", _post("victim", number))
        calm = _times(victim, CALM_S)
        if attack.prepare is not None:
            attack.prepare(Mallory(hub.url))
        with _attacked(hub.url, attack):
            attacked = _times(victim, UNDER_ATTACK_S)
    median, p99 = attacked.median / calm.median, attacked.quantile(0.99) / calm.quantile(0.99)
    was = f"calm {calm.median * 1e3:.1f}, {calm.quantile(0.99) * 1e3:.1f} ms"
    figure = f"{median:.1f}, {p99:.1f}  ({was}; {attacked.errors} refused)"
    return (
        f"9. {attack.what}",
        figure,
        f"<= {AT_MOST:g}, {AT_MOST:g}",
        max(median, p99) <= AT_MOST and not attacked.errors,
    )


def _times(victim: Mallory, seconds: float) -> load.Result:
    """How long each post and poll of the victim takes, one after the other."""
    result = load.Result()
    end, number = time.perf_counter() + seconds, 0
    victim.call("GET", "/api/me")
    while not result.times or time.perf_counter() < end:
        for request in (
            ("POST", "/post", _post("friend", number)),
            ("GET", "/messages?unread_by=victim&limit=50"),
        ):
            began = time.perf_counter()
            status = victim.call(*request)
            result.times.append(time.perf_counter() - began)
            result.errors += status not in (200, 201)
            time.sleep(_PAUSE_S)
        number += 1
    result.times.sort()
    return result


def _post(to: str, number: int) -> bytes:
    return json.dumps({"to": to, "body": f"message {number} " + "x" * 180}).encode()


@contextmanager
def _attacked(url: str, attack: Attack) -> Iterator[None]:
    """The attack goes on while the block runs."""
    if attack.turn is None:
        yield
        return
    fork = multiprocessing.get_context("fork")
    stop = fork.Event()
    processes = [
        fork.Process(target=_go_on, args=(url, attack, stop), daemon=True) for _ in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    time.sleep(0.5)
    try:
        yield
    finally:
        stop.set()
        for process in processes:
            process.join(5)
            process.kill()  # this very process; it may wait for an answer


def _go_on(url: str, attack: Attack, stop: Event) -> None:
    mallory, latest = Mallory(url), time.monotonic() + 10 * UNDER_ATTACK_S
    assert attack.turn is not None
    while not stop.is_set() and time.monotonic() < latest:
        with suppress(OSError):
            attack.turn(mallory)


# -- the attacks ---------------------------------------------------------------------------------

_NUMBERS = b'{"target":"box","command":"id","env":[' + b"1," * 8_000_000 + b"1]}"
_LINES = b"\n".join(
    [b'{"from":"a","to":"b","body":"x","data":{"a":[' + b"1," * 3_900 + b"1]}}"] * 999
)


def numbers(mallory: Mallory) -> None:
    """16 MB of JSON that the caller may not even ask for."""
    mallory.call("POST", "/api/exec", _NUMBERS)


def lines(mallory: Mallory) -> None:
    """8 MB of NDJSON, all of it data."""
    mallory.shared().call("POST", "/post", _LINES, "application/x-ndjson")


def long_line(mallory: Mallory) -> None:
    """A message of 1 MB whose `data` is half a million numbers."""
    mallory.call("POST", "/post", b'{"to":"b","body":"x","data":{"a":[' + b"1," * 500_000 + b"1]}}")


def hang_ups(mallory: Mallory) -> None:
    """Polls that nobody waits for any more."""
    held = [load.Connection(mallory.url) for _ in range(50)]
    for number, connection in enumerate(held):
        connection.send(mallory.request("GET", f"/messages?unread_by=mallory/{number}&wait=60"))
    for connection in held:
        connection.close()


def half_sent(mallory: Mallory) -> None:
    """Requests without a credential whose headers never end."""
    held = []
    with suppress(OSError):
        for _ in range(1_500):
            held.append(load.Connection(mallory.url))
            held[-1].sock.sendall(b"GET /health HTTP/1.1\r\nHost: hub\r\nX-")
    time.sleep(1)
    for connection in held:
        connection.close()


def unread_body(mallory: Mallory) -> None:
    """16 MB for a route that does not read them."""
    mallory.call("POST", "/no-such-route", _NUMBERS)


_WORDS = [f"w{number}" for number in range(32)]  # as many as a search takes


def many_messages(mallory: Mallory) -> None:
    """20,000 broadcasts that live for a year, each with all of some words but one."""
    bodies = [" ".join(word for word in _WORDS if word != left_out) for left_out in _WORDS]
    made = [
        json.dumps({"body": bodies[number % len(bodies)], "expires_in_s": 31_000_000}).encode()
        for number in range(1_000)
    ]
    for _ in range(20):
        mallory.call("POST", "/post", b"\n".join(made), "application/x-ndjson")


def search(mallory: Mallory) -> None:
    """All of the words: no message has them."""
    mallory.call("GET", f"/search?q={'%20'.join(_WORDS)}")


def names(mallory: Mallory) -> None:
    """Polls under ever new names."""
    mallory.call("GET", f"/messages?unread_by=mallory/s{time.perf_counter_ns()}&limit=1")


ATTACKS = (
    Attack("16 MB of numbers to /api/exec by who may nothing", numbers),
    Attack("16 MB for a route that takes no body", unread_body),
    Attack("8 MB of NDJSON", lines),
    Attack("1 MB of numbers in a message", long_line),
    Attack("long polls that hang up", hang_ups),
    Attack("searches that find nothing in 20,000 expiring messages", search, many_messages),
    Attack("polls under ever new names", names, many_messages),
    Attack("half-sent requests without a credential", half_sent),
)
