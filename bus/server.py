"""How gunicorn runs the hub: a gunicorn configuration file, with the few things that need gunicorn or gevent.

gevent workers: on two cores a durable post costs 0.6 of an empty view there and 0.4 with threads, and a
waiting poll costs a greenlet (docs/decisions/0002-worker-class.md). The app is loaded after the fork
(no preload), because a lock taken through an inherited descriptor excludes nobody.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from typing import Any

from bus.config import Config

try:
    from gunicorn.workers.ggevent import GeventWorker
except (ImportError, RuntimeError):  # the commands and tests do without
    GeventWorker = object

_config = Config.from_env()

bind = _config.listen
workers = _config.workers
worker_class = "bus.server.HubWorker"
worker_connections = _config.max_waiting + 1_000
# Longer than nginx keeps an idle upstream connection (60 s), so that it is never the hub that hangs up first.
keepalive = 75
# Polls and streams are let go at once when a worker stops; this is for an append that waits for its locks.
graceful_timeout = 30
timeout = 60
# The heartbeat must not sit on the disk that may fail.
worker_tmp_dir = "/dev/shm" if __import__("os").path.isdir("/dev/shm") else None
# The app trusts no header from the network, and needs none.
forwarded_allow_ips = ""
forwarder_headers = ""
umask = 0o007
control_socket_disable = True
accesslog = None
loglevel = "info"
proc_name = "claude-bus"


class HubWorker(GeventWorker):  # type: ignore[misc]
    """A gevent worker whose answer to an unreadable request has the hub's form."""

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer what gunicorn's parser refuses: a bad request line or header, a request that is too long."""
        from gunicorn.http.errors import ParseException

        if not isinstance(exc, ParseException):
            super().handle_error(req, client, addr, exc)
            return
        self.log.debug("unreadable request from %r: %s", addr, exc)
        body = json.dumps(
            {
                "ok": False,
                "error": "bad_request",
                "message": f"This is no HTTP request that the hub can read: {type(exc).__name__}.",
                "hint": "See /docs for the form of each request.",
                "docs": "/docs#bad_request",
            }
        )
        head = f"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        try:
            client.sendall(f"{head}\r\n\r\n{body}".encode())
        except OSError:
            self.log.debug("it did not wait for the answer")


def post_worker_init(worker: Any) -> None:
    """Let polls and streams go as soon as their worker is told to stop."""
    core = worker.wsgi.extensions["bus"]
    core.waiting.is_closing = lambda: not worker.alive


def worker_int(worker: Any) -> None:
    """SIGINT or SIGQUIT: no grace is asked for."""
    worker.log.info("worker %s was interrupted", worker.pid)


def background(job: Callable[[], None]) -> None:
    """Run a long job on a real thread, whether or not gevent has taken over `threading`."""
    try:
        from gevent import get_hub, monkey
    except ImportError:
        monkey = None
    if monkey is not None and monkey.is_module_patched("threading"):
        get_hub().threadpool.spawn(_logged, job)
    else:
        threading.Thread(target=_logged, args=(job,), daemon=True).start()


def _logged(job: Callable[[], None]) -> None:
    try:
        job()
    except Exception:
        logging.getLogger("bus").exception("a background job failed")
