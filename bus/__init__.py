"""The hub of claude-bus. `create_app` is the one place where its parts are joined."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
_QUESTIONS_KEPT_S = (
    2 * 86_400
)  # a question is closed after a day and a quarter of an hour at the latest

if TYPE_CHECKING:
    from flask import Flask

    from bus.config import Config
    from bus.hub.core import Core
    from bus.hub.net import Net
    from bus.runner.socket_server import Service
    from bus.system.scheduler import Turns


def create_app(config: Config | None = None, turns: Turns | None = None) -> Flask:
    """The WSGI application, with its core under `app.extensions["bus"]`, its credentials under `["credentials"]`, and its
    end of the line to the service that runs commands under `["exec"]`.

    `turns` says how requests share a worker; without it, as threads do.
    """
    from bus.config import Config
    from bus.credentials import Credentials
    from bus.live.quotas import Quotas
    from bus.runner.client import ExecService
    from bus.system.scheduler import Turns
    from bus.web import make_app

    config = config or Config.from_env()
    core = create_core(config, turns)
    net = create_net(core, config)
    credentials = Credentials(config.credentials_file, config.shared_name, tenure_of=net.tenure_of)
    service = ExecService(config.exec_socket_file)
    rest = (turns or Turns()).one_round
    run = config.data_dir / "run"
    quotas = (
        Quotas(run / "quotas", config.max_requests),
        Quotas(run / "quotas-waiting", config.max_waiting_each, "waiting"),
    )
    app = make_app(
        core,
        net,
        service,
        credentials,
        keepalive_s=config.keepalive_s,
        max_file=config.file_max_bytes,
        rest=rest,
        quotas=quotas,
    )
    app.extensions["bus"] = core
    app.extensions["credentials"] = credentials
    app.extensions["exec"] = service
    return app


def create_net(core: Core, config: Config) -> Net:
    """Rights, calls and approvals over the same log and index."""
    from bus.hub.net import Net
    from bus.log.outputs import Results

    net = Net(core.log, core.index, core.waiting.ring)
    net.append = core.append
    net.approve_own = config.approve_own
    net.beside = Results(config.data_dir / "questions", _QUESTIONS_KEPT_S)
    return net


def create_service(config: Config) -> Service:
    """The service that runs commands, over the same data folder; raises BadSetting, and OSError when there is one already."""
    from bus.config import BadSetting
    from bus.credentials import Credentials
    from bus.log.outputs import Results
    from bus.model.caller import ADMIN, MACHINES, MEMBER, Caller
    from bus.model.messages import Draft
    from bus.runner.drivers.targets import Targets
    from bus.runner.limits import Slots
    from bus.runner.service import Work
    from bus.runner.socket_server import Service

    core = create_core(config)
    net = create_net(core, config)
    credentials = Credentials(config.credentials_file, config.shared_name, tenure_of=net.tenure_of)
    try:
        targets = Targets.load(
            config.targets_file,
            lxc="" if config.lxc == "none" else config.lxc,
            project=config.lxc_project,
            only=[name.strip() for name in config.lxc_only.split(",") if name.strip()],
        )
    except ValueError as error:
        raise BadSetting(str(error)) from None

    def post(fields: dict[str, Any]) -> None:
        core.post(Caller("bus", MEMBER), Draft.read({"from": "bus", **fields}))

    work = Work(
        net,
        targets,
        Results(config.data_dir / "calls", config.exec_keep_s, config.exec_keep_bytes),
        Slots(config.exec_per_target, config.exec_per_caller),
        max_output=config.exec_max_output,
        max_file=config.file_max_bytes,
        restores_kept=config.restores_kept,
        post=post,
        admins=lambda: [name for name, role in credentials.users().items() if role == ADMIN],
        members=lambda: [name for name, role in credentials.users().items() if role in MACHINES],
    )
    return Service(
        config.exec_socket_file, config.data_dir, work, credentials, config.file_max_bytes
    )


def create_core(config: Config, turns: Turns | None = None) -> Core:
    """The hub without HTTP: what the app and the commands share."""
    from bus.hub.core import Core
    from bus.hub.daily_quotas import DailyQuotas
    from bus.index.database import Index
    from bus.live.bell import Bell
    from bus.live.presence import Presence
    from bus.live.waiting import SharedCounts, WaitingRoom
    from bus.log.jsonl.disk import Disk
    from bus.log.jsonl.engine import JsonlLog
    from bus.log.jsonl.files import compress
    from bus.system.scheduler import Turns

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
    index = Index(config.data_dir / "index.db", log, turns, config.query_max_s)
    log.unique_index = index
    presence = Presence(config.data_dir / "presence.db", config.polled_names_keep_s)
    run = config.data_dir / "run"
    waiting = WaitingRoom(log, SharedCounts(run / "waiting"), config.max_waiting, Bell(run))
    daily = DailyQuotas(run / "daily", config.max_daily_bytes, config.max_daily_names)
    return Core(log, index, presence, waiting, daily=daily)
