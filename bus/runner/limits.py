"""How many calls run at once, for each target and each caller."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from bus.errors import TooManyRunning


class Slots:
    """Counts what runs in this service, which is the only one."""

    def __init__(self, per_target: int, per_caller: int) -> None:
        self._caps = {"target": per_target, "caller": per_caller}
        self._counts: Counter[tuple[str, str]] = Counter()
        self._mutex = threading.Lock()

    @contextmanager
    def one_more(self, target: str, caller: str) -> Iterator[None]:
        """Count one more while the block runs; raises TooManyRunning."""
        keys = (("target", target), ("caller", caller))
        with self._mutex:
            for scope, name in keys:
                if self._counts[scope, name] >= self._caps[scope]:
                    limit = self._caps[scope]
                    raise TooManyRunning(
                        f"{limit} calls run for the {scope} {name} already.",
                        scope=scope,
                        limit=limit,
                    )
            self._counts.update(keys)
        try:
            yield
        finally:
            with self._mutex:
                for key in keys:
                    self._counts[key] -= 1
                    if not self._counts[key]:
                        del self._counts[key]
