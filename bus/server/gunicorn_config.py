"""How gunicorn runs the hub: a gunicorn configuration file, with the few things that need gunicorn
or gevent.

gevent workers: on two cores a durable post costs 0.6 of an empty view there and 0.4 with threads,
and a waiting poll costs a greenlet (docs/decisions/0002-worker-class.md). The app is loaded after
the fork (no preload), because a lock taken through an inherited descriptor excludes nobody.
"""

from __future__ import annotations

import json
import logging
import os
import select
import signal
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import gevent
import gevent.monkey
import gevent.threadpool
from gevent.event import Event
from gevent.pool import Pool
from gevent.server import StreamServer
from gevent.socket import SOCK_STREAM, socket, wait_read
from gunicorn.http.errors import ParseException
from gunicorn.workers.ggevent import GeventWorker

from bus.config import Config
from bus.hub.hub import Hub
from bus.notify.webhooks.sender import MOST_AT_ONCE
from bus.server import connections, first_start, metrics_folder
from bus.server.connections import BetweenRequests, Connections
from bus.server.seats import Seat, Seats
from bus.server.turns import ONE_ROUND_S
from bus.system import modes
from bus.web.http.replies import Reply

# gevent takes these away where it patches.
_epoll, _READABLE = getattr(select, "epoll", None), getattr(select, "EPOLLIN", 1)
_TEND_EVERY_S = 0.1
_CHORES_EVERY_S, _CHORES_END_S = 0.5, 3.0
_LOOK_EVERY_S = 0.3
_GRACE_S = 1.0
_QUICK_S = 2.0
_LOOK_UP_S = 10.0
_NOTIFY_EVERY_S = 1.0
# How long a new connection is left to the worker that has fewer. Beside a stopped worker, one takes
# 800 a second.
_POLITE_S = 0.005
_seats = Seats()
_config = Config.from_env()
logging.basicConfig(
    format="[%(asctime)s] [%(process)d] [%(levelname)s] %(name)s: %(message)s",
    datefmt="%Y-%m-%d %H:%M:%S %z",
)

bind = _config.listen
workers = _config.workers
worker_class = "bus.server.gunicorn_config.HubWorker"
worker_connections = connections.that_fit(_config.max_waiting + 1_000, connections.raise_limit())
# Longer than nginx keeps an idle connection to the hub, so that it is never the hub that hangs up
# first.
keepalive = 75
# Polls, streams and commands are let go at once when a worker stops; this is for an append that
# waits for its locks.
graceful_timeout = 30
timeout = 60
# The heartbeat must not sit on the disk that may fail.
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None
# The app trusts no header from the network, and needs none.
forwarded_allow_ips = ""
forwarder_headers = ""
# For the socket only. Where its folder keeps others out, that is the door: the folder's group need
# not be the hub's own.
umask = 0 if first_start.is_closed_to_others(_config) else modes.UMASK
control_socket_disable = True
accesslog = None
loglevel = "info"
proc_name = "claude-bus"


class HubWorker(GeventWorker):  # type: ignore[misc]
    """A gevent worker that lets idle connections go when it stops, and answers unreadable requests
    in the hub's form.
    """

    alive: bool

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.connections = Connections(self.worker_connections, self.cfg.keepalive)
        self._seat = _seats.of(self.age)
        self.let_calls_go: Callable[[], None] = lambda: None
        self.chores: Any = None

    def init_process(self) -> None:
        """Make what belongs to this process, and serve."""
        self.stopping = Event()
        _InTurn.posters = None if _epoll is None else _epoll()
        super().init_process()

    def timeout_ctx(self) -> BetweenRequests:
        """Return what gunicorn waits in for the next request of a kept-alive connection."""
        return self.connections.between_requests()

    def run(self) -> None:
        """Serve until told to stop, then until what is under way has ended."""
        pool = Pool(self.worker_connections)
        doors = [
            _Door(listener, partial(self.handle, listener), pool, self._seat)
            for listener in self.sockets
        ]
        for door in doors:
            door.start()
        while self.alive:
            self.notify()
            self.stopping.wait(_NOTIFY_EVERY_S)
        for door in doors:
            door.close()
        self._seat.leave()
        gevent.spawn(self._let_idle_go)
        deadline = time.monotonic() + self.cfg.graceful_timeout
        while len(pool) and time.monotonic() < deadline:
            self.notify()
            pool.join(timeout=_NOTIFY_EVERY_S)
        if len(pool):
            self.log.warning(
                "%d requests were still under way after %d s", len(pool), self.cfg.graceful_timeout
            )
            pool.kill(timeout=_NOTIFY_EVERY_S)
        if self.chores is not None:
            self.chores.join(timeout=_CHORES_END_S)

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        """Serve one connection to its end."""
        try:
            with self.connections.one_more(client):
                super().handle(listener, client, addr)
        finally:
            self._seat.count(-1)

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> None:
        """Answer one request; closes the connection where what is left of its body is too much to
        be passed over.

        One that was sent together with it waits its turn like those of other connections.
        """
        sock.settimeout(connections.STALL_S)
        sock.latest = time.monotonic() + connections.BODY_S
        wanted = connections.LongBody(req, sock)
        try:
            try:
                super().handle_request(listener_name, req, sock, addr)
            finally:
                is_whole = wanted.is_begun and connections.discard_rest(req.body)
        except TimeoutError:
            is_whole = False
        sock.settimeout(None)
        sock.latest = None
        if not is_whole:
            raise StopIteration
        sock.note(req.method == "POST" and req.path == "/post")
        if req.unreader.buf.tell():
            gevent.sleep(ONE_ROUND_S)

    def _let_idle_go(self) -> None:
        """After a stop, let commands go on by themselves, and close connections that have had time
        for one more request.

        (That one would have closed them.)
        """
        stopped = time.monotonic()
        while True:
            self.let_calls_go()
            for wait in self.connections.idle_for(_GRACE_S, stopped):
                wait.end()
            gevent.sleep(_LOOK_EVERY_S)

    def handle_quit(self, sig: int, frame: Any) -> None:
        """A quick stop (Ctrl-C): what is under way has a moment to end.

        Not gunicorn's own, which raises SystemExit in a greenlet: where the worker is through
        before that, it comes out as a traceback. A Ctrl-C comes twice, from the terminal and from
        the master.
        """
        if self.alive:
            self.handle_exit(sig, frame)
            gevent.spawn_later(_QUICK_S, os._exit, 0)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """A stop: no new connections, and what is under way ends."""
        super().handle_exit(sig, frame)
        gevent.get_hub().loop.run_callback_threadsafe(
            self.stopping.set
        )  # this runs in a signal handler

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer what gunicorn's parser refuses: a bad request line or header, a request that is
        too long.
        """
        if not isinstance(exc, ParseException):
            super().handle_error(req, client, addr, exc)
            return
        self.log.debug("unreadable request from %r: %s", addr, exc)
        body = json.dumps(
            {
                "ok": False,
                "error": "bad_request",
                "message": f"The hub cannot read this as an HTTP request: {type(exc).__name__}.",
                "hint": "See /docs for the form of each request.",
                "docs": "/docs#bad_request",
            }
        )
        head = [
            "HTTP/1.1 400 Bad Request",
            "Connection: close",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            *(f"{name}: {value}" for name, value in Reply.ALWAYS),
        ]
        try:
            client.sendall("\r\n".join([*head, "", body]).encode())
        except OSError:
            self.log.debug("it did not wait for the answer")


class _Door(StreamServer):  # type: ignore[misc]
    """Takes connections from a listening socket, when no other worker has fewer."""

    max_accept = 4

    def __init__(self, listener: Any, handle: Callable[..., None], pool: Any, seat: Seat) -> None:
        super().__init__(listener, handle=handle, spawn=pool)
        self._seat = seat
        self._is_polite = True
        seat.open()

    def do_read(self) -> tuple[_InTurn, Any] | None:
        """Return a new connection and where it is from, or None: there is none, or it is left to
        another worker.
        """
        if self._is_polite and self._seat.is_for_another():
            self.stop_accepting()
            self._timer = self.loop.timer(_POLITE_S)
            self._timer.start(self._take_what_is_left)
            return None
        try:
            fd, address = self.socket._accept()
        except BlockingIOError:
            return None
        self._seat.count(1)
        return _InTurn(self.family, fileno=fd), address

    def _take_what_is_left(self) -> None:
        """The other worker is busy, or stopped: take some connections that it had time to take, and
        ask again.
        """
        if not self.started:
            return
        self.start_accepting()
        self._is_polite = False
        self._do_read()
        self._is_polite = True


class _InTurn(socket):  # type: ignore[misc]
    """A connection that is served once in each round of the loop; reads let posts go first.

    gevent's own `recv` takes what is there already, without letting others go first: a client that
    was quick with its next request kept the worker, and fifteen others waited for up to 290 ms
    (docs/decisions/0002-worker-class.md).
    """

    # Where the kernel says whether one of them has sent something; a worker's own
    posters: Any = None
    _posts = False
    latest: float | None = None  # of time.monotonic: nothing is waited for after that

    def recv(self, *args: Any) -> bytes:
        if self._posts and self.gettimeout() is None:
            loop = gevent.get_hub().loop
            watcher = loop.io(self.fileno(), 1, priority=loop.MAXPRI)
            try:
                gevent.get_hub().wait(watcher)
            finally:
                watcher.close()
        else:
            wait_read(self.fileno(), self._patience_s(), TimeoutError("timed out"))
            if self.gettimeout() is None and self.posters is not None and self.posters.poll(0):
                gevent.sleep(ONE_ROUND_S)  # once: who posts all the time keeps nobody from reading
        return super().recv(*args)  # type: ignore[no-any-return]

    def _patience_s(self) -> float | None:
        """Return how long the next bytes may take; None: for ever."""
        timeout_s: float | None = self.gettimeout()
        if self.latest is None:
            return timeout_s
        return max(0.001, min(timeout_s or connections.STALL_S, self.latest - time.monotonic()))

    def note(self, is_post: bool) -> None:
        """Remember whether this connection's last request was a post: the next one is likely to be
        one, too.
        """
        if self.posters is None or is_post is self._posts:
            return
        self._posts = is_post
        if is_post:
            self.posters.register(self.fileno(), _READABLE)
        else:
            self.posters.unregister(self.fileno())


def on_starting(server: Any) -> None:
    """Make the folder of the workers' counters, before there are workers."""
    metrics_folder.begin(_config.data_dir / "run")


def on_exit(server: Any) -> None:
    """Take it away."""
    metrics_folder.end()


def post_fork(server: Any, worker: Any) -> None:
    """Let a stop end a worker that is still booting: it has its master's handlers, which would only
    take note of it.
    """
    metrics_folder.keep()
    for how in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(how, signal.SIG_DFL)
    os.umask(modes.UMASK)


def child_exit(server: Any, worker: Any) -> None:
    """Leave no connections to a worker that is gone."""
    _seats.of(worker.age).leave()


def post_request(worker: Any, req: Any, environ: Any, resp: Any) -> None:
    """Remember that a connection has brought a good credential: every route asks for one."""
    connection = worker.connections.here()
    if connection is not None:
        connection.requests += 1
        connection.is_proven = connection.is_proven or (
            resp is not None and resp.status_code not in (None, 400, 401)
        )


def post_worker_init(worker: Any) -> None:
    """Let polls and streams go as soon as their worker is told to stop."""
    gevent.get_hub().threadpool.maxsize = _config.threads
    hub = worker.wsgi.extensions.get("bus")  # scripts/bench runs an empty app in the same worker
    if hub is not None:
        hub.waiting.is_closing = lambda: not worker.alive
        hub.waiting.watching = worker.connections.watching
        # Posts go through however many wait.
        hub.waiting.most_here = worker.worker_connections * 3 // 4
        worker.stopping.rawlink(lambda _: gevent.spawn(hub.waiting.wake_all))
        worker.let_calls_go = worker.wsgi.extensions["exec"].let_go
        worker.wsgi.extensions["webhooks"].network.resolve = _resolver()
        gevent.spawn(_tend, worker, hub)
        worker.chores = gevent.spawn(_do_chores, worker, hub)


def _resolver() -> Callable[[str, int], Any]:
    """Return what looks names up for webhooks, in threads of its own: more than there may be
    webhooks at work, so that names whose servers do not answer hold nothing else up.
    """
    threads = gevent.threadpool.ThreadPool(2 * MOST_AT_ONCE)
    # gevent's own would wait for a thread of the pool that syncs and rebuilds.
    look_up = gevent.monkey.get_original("socket", "getaddrinfo")

    def resolve(host: str, port: int) -> Any:
        if len(threads) >= threads.maxsize:
            raise TimeoutError("too many names are looked up")
        looking = threads.spawn(look_up, host, port, 0, SOCK_STREAM)
        try:
            return looking.get(timeout=_LOOK_UP_S)
        except gevent.Timeout:
            raise TimeoutError("the name was not found in time") from None

    return resolve


def _tend(worker: Any, hub: Hub) -> None:
    while worker.alive:
        gevent.sleep(_TEND_EVERY_S)
        try:
            hub.journal.upkeep.tend(lambda: gevent.sleep(0.001))
        except Exception:
            worker.log.exception("the index could not be tended")


def _do_chores(worker: Any, hub: Hub) -> None:
    while not worker.stopping.wait(_CHORES_EVERY_S):
        hub.chores.do()
    hub.chores.leave()
