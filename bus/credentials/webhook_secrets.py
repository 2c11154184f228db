"""The secrets of webhooks: a file of their own beside the log, for its owner alone. The log never
has one.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable
from pathlib import Path

import orjson
from filelock import FileLock, Timeout

from bus.errors import Busy
from bus.system import durable, modes

PREFIX = "whsec_"
_BYTES = 32
_PATIENCE_S = 5.0


class WebhookSecrets:
    """Secrets by the ids of their webhooks."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = FileLock(
            path.parent / "run" / f"{path.name}.lock", timeout=_PATIENCE_S, mode=modes.FILE
        )

    def make(self, id: str) -> str:
        """Return a new secret for a webhook, once it is on stable storage; raises Busy."""
        made = PREFIX + base64.b64encode(secrets.token_bytes(_BYTES)).decode()
        self._change(lambda known: known.update({id: made}))
        return made

    def of(self, id: str) -> str | None:
        """Return the secret of a webhook; None where it is lost."""
        return self._read().get(id)

    def drop(self, id: str) -> None:
        """Forget a secret."""
        self._change(lambda known: known.pop(id, None))

    def _change(self, change: Callable[[dict[str, str]], object]) -> None:
        self._path.parent.joinpath("run").mkdir(mode=modes.FOLDER, parents=True, exist_ok=True)
        try:
            with self._lock:
                known = self._read()
                change(known)
                durable.atomic_write(self._path, orjson.dumps(known) + b"\n")
        except Timeout:
            raise Busy("Another process holds the file of the secrets of webhooks.") from None

    def _read(self) -> dict[str, str]:
        try:
            found = orjson.loads(self._path.read_bytes())
        except (FileNotFoundError, orjson.JSONDecodeError):
            return {}
        return found if isinstance(found, dict) else {}
