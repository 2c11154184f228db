"""The hub of claude-bus. `create_app` is the one place where its parts are joined."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from flask import Flask

    from bus.config import Config
    from bus.core import Core
    from bus.turns import Turns


def create_app(config: Config | None = None, turns: Turns | None = None) -> Flask:
    """The WSGI application, with its core under `app.extensions["bus"]`.

    `turns` says how requests share a worker; without it, as threads do.
    """
    from bus.config import Config
    from bus.credentials import Credentials
    from bus.web import make_app

    config = config or Config.from_env()
    core = create_core(config, turns)
    app = make_app(core, Credentials(config.credentials_file), config.keepalive_s)
    app.extensions["bus"] = core
    return app


def create_core(config: Config, turns: Turns | None = None) -> Core:
    """The hub without HTTP: what the app and the commands share."""
    from bus.core import Core
    from bus.index.database import Index
    from bus.log.disk import Disk
    from bus.log.files import compress
    from bus.log.jsonl import JsonlLog
    from bus.presence import Presence
    from bus.turns import Turns
    from bus.waiting import SharedCounts, WaitingRoom

    turns = turns or Turns()

    def on_sealed(path: Path) -> None:
        if config.segment_compress:
            turns.beside(lambda: compress(path, Disk()))

    config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = JsonlLog(
        config.data_dir,
        fsync=config.fsync == "always",
        lock_timeout_s=config.lock_timeout_s,
        segment_max_bytes=config.segment_max_bytes,
        segment_max_age_s=config.segment_max_age_s,
        on_sealed=on_sealed,
        turns=turns,
    )
    index = Index(config.data_dir / "index.db", log, turns)
    log.unique_index = index
    presence = Presence(config.data_dir / "presence.db")
    waiting = WaitingRoom(log, SharedCounts(config.data_dir / "run" / "waiting"), config.max_waiting)
    return Core(log, index, presence, waiting)
