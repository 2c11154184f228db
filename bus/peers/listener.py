"""HTTP for peers: few connections, each with a thread, and a time for everything."""

from __future__ import annotations

import json
import logging
import select
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from bus.errors import BadRequest, BusError, ForeignOrigin, Internal, NoSuchRoute, TooLarge
from bus.peers.desk import Answer, Desk, refusal
from bus.peers.proof import Visitor

logger = logging.getLogger("bus.peers")

MAX_BODY = 512 * 1024  # a text of 64 KiB with every character escaped
MOST_CONNECTIONS = 512
_IDLE_S = 75.0  # of a connection between two requests
_REQUEST_S = 15.0  # for a request to arrive
_ANSWER_S = 30.0  # for it to be answered and the answer to be taken
_LOOK_EVERY_S = 0.5
_STACK = 512 * 1024
_LAST_WORDS_S = 2.0


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "claude-bus", ""
    disable_nagle_algorithm = True
    timeout = _IDLE_S
    server: Listener
    headers: Message
    # Of time.monotonic: after that the connection is closed. A request under way is not idle.
    latest = 0.0
    is_idle = True

    def handle_one_request(self) -> None:
        """Wait for a request and answer it."""
        self.is_idle, self.latest = True, time.monotonic() + _IDLE_S
        super().handle_one_request()

    def parse_request(self) -> bool:
        """Read the head of a request, whose first line is here."""
        self.is_idle, self.latest = False, time.monotonic() + _REQUEST_S
        return super().parse_request()

    def do_GET(self) -> None:
        """Answer GET /health."""
        self._answer(self._got)

    def do_POST(self) -> None:
        """Answer what a peer asks."""
        self._answer(self._posted)

    def _got(self) -> Answer:
        self._refuse_pages()
        if self._path() != "/health":
            raise NoSuchRoute(f"There is no GET {self._path()[:100]} here.", hint="")
        return Answer(200, self.server.desk.health())

    def _posted(self) -> Answer:
        self._refuse_pages()
        if not self.server.desk.is_route(self._path()):
            raise NoSuchRoute(f"There is no POST {self._path()[:100]} here.", hint="")
        data = self._body()
        self.latest = time.monotonic() + _ANSWER_S
        visitor = Visitor(str(self.client_address[0]), self.headers.get("Authorization"))
        return self.server.desk.answer(visitor, self._path(), data)

    def _path(self) -> str:
        return self.path.partition("?")[0]

    def _refuse_pages(self) -> None:
        """Raise ForeignOrigin for what a web page sends: browsers say so, these clients do not."""
        if "Origin" in self.headers or self.headers.get("Sec-Fetch-Site", "none") != "none":
            raise ForeignOrigin("A web page made this call.")

    def _body(self) -> bytes:
        size = self.headers.get("Content-Length", "")
        if "Transfer-Encoding" in self.headers or not size.isascii() or not size.isdigit():
            raise BadRequest("The request does not say how long its body is.")
        if int(size[:12]) > MAX_BODY:
            raise TooLarge(f"At most {MAX_BODY} bytes are taken.", limit=MAX_BODY)
        data = self.rfile.read(int(size))
        if len(data) < int(size):
            raise BadRequest("The connection ended in the body.")
        return data

    def _answer(self, make: Callable[[], Answer]) -> None:
        try:
            answer = make()
        except TimeoutError:
            raise
        except BusError as error:
            answer = refusal(error)
            self.close_connection = True  # what is left of its body was not read
        except Exception:
            logger.exception("%s %s failed", self.command, self._path()[:100])
            answer = refusal(Internal("This is a defect of the hub, and in its log."))
            self.close_connection = True
        is_written = False
        try:
            is_there = not self._has_hung_up()
            self._write(answer)
            is_written = is_there
        finally:
            try:
                answer.settle(is_written)
            except BusError as error:
                logger.warning("what a peer was given comes again: %s", error)

    def _has_hung_up(self) -> bool:
        """Return whether the client has closed its end: nobody may be there to read."""
        poll = select.poll()
        poll.register(self.connection, select.POLLIN)
        return bool(poll.poll(0)) and self.connection.recv(1, socket.MSG_PEEK) == b""

    def _write(self, answer: Answer) -> None:
        body = json.dumps(answer.body).encode()
        self.send_response(answer.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        if self.close_connection:
            self.send_header("Connection", "close")
        self._headers_buffer.append(b"\r\n" + body)  # type: ignore[attr-defined]
        self.flush_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing of each request."""


class Listener(ThreadingHTTPServer):
    """Takes connections. When there are too many, the one that is idle longest makes room.

    `is_over` is asked now and then: whether it is time to stop.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self, address: tuple[str, int], desk: Desk, is_over: Callable[[], bool] = lambda: False
    ) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.desk, self._is_over = desk, is_over
        self._mutex = threading.Lock()
        self._open: dict[socket.socket, Handler] = {}
        self._stopping = False
        super().__init__(address, Handler)

    def server_bind(self) -> None:
        """Bind, without looking up what the address is called, which may take long."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def serve(self) -> None:
        """Serve until told to stop, then until what is under way has been answered."""
        threading.stack_size(_STACK)
        self.serve_forever(_LOOK_EVERY_S)
        self.server_close()
        deadline = time.monotonic() + _LAST_WORDS_S
        while time.monotonic() < deadline and any(not one.is_idle for one in self._all()):
            time.sleep(0.02)

    def stop_soon(self) -> None:
        """Stop; may be called by a handler of signals."""
        self._stopping = True

    def service_actions(self) -> None:
        """Close connections whose time is over."""
        if self._is_over() or self._stopping:
            threading.Thread(target=self.shutdown, daemon=True).start()
            self._stopping, self._is_over = False, lambda: False
        now = time.monotonic()
        for handler in self._all():
            if now > handler.latest:
                _hang_up(handler.connection)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Return whether there is room for another connection."""
        handlers = self._all()
        if len(handlers) < MOST_CONNECTIONS:
            return True
        idle = [handler for handler in handlers if handler.is_idle]
        if not idle:
            return False
        _hang_up(min(idle, key=lambda handler: handler.latest).connection)
        return True

    def process_request(self, request: Any, client_address: Any) -> None:
        """Count the connection before its thread runs: the next one may already be waiting."""
        handler = Handler.__new__(Handler)
        handler.connection, handler.latest = request, time.monotonic() + _IDLE_S
        with self._mutex:
            self._open[request] = handler
        super().process_request(request, client_address)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Serve one connection to its end."""
        with self._mutex:
            handler = self._open[request]
        handler.__init__(request, client_address, self)  # type: ignore[misc]

    def shutdown_request(self, request: Any) -> None:
        """Close a connection and give its place to another."""
        with self._mutex:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Note what went wrong with a connection: mostly, that the client is gone."""
        if isinstance(sys.exception(), OSError):
            logger.debug("a peer's connection ended", exc_info=True)
        else:
            logger.exception("a peer's connection failed")

    def _all(self) -> list[Handler]:
        with self._mutex:
            return list(self._open.values())


def _hang_up(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
