"""The hub of claude-bus. This module is the one place where its parts are joined."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

# A question is closed after a day and a quarter of an hour at the latest.
_QUESTIONS_KEPT_S = 2 * 86_400

if TYPE_CHECKING:
    from flask import Flask

    from bus.config import Config
    from bus.credentials import Credentials
    from bus.hub.hub import Hub
    from bus.live.metrics import Metrics
    from bus.log.jsonl.disk import Disk
    from bus.notices.queue import Queue
    from bus.notify.following import Follower
    from bus.notify.service import Notifier
    from bus.notify.services.base import Tools
    from bus.notify.settings import Settings
    from bus.peers.listener import Listener
    from bus.runner.socket_server import SocketServer
    from bus.system.scheduler import Turns

Clock = Callable[[], float]


def create_app(
    config: Config | None = None,
    turns: Turns | None = None,
    *,
    clock: Clock = time.time,
    disk: Disk | None = None,
) -> Flask:
    """Return the WSGI application.

    `app.extensions` has its hub as `bus`, its credentials as `credentials`, its end of the line to
    the service that runs commands as `exec`, and what sends webhooks as `webhooks`. `turns` says
    how requests share a worker; without it, as threads do. `clock` returns seconds since 1970, and
    `disk` is what the log is written with: a test may give others.
    """
    from bus.config import Config
    from bus.credentials import Credentials
    from bus.credentials.webhook_secrets import WebhookSecrets
    from bus.live.metrics import Metrics
    from bus.live.quotas import Quotas
    from bus.model import escalation
    from bus.model.caller import ADMIN, HUMAN
    from bus.notices.desk import NoticeDesk
    from bus.notify.webhooks.addresses import Network
    from bus.notify.webhooks.sender import WebhookSender
    from bus.runner.client import RunnerClient
    from bus.system.scheduler import Turns
    from bus.web import make_app

    config = config or Config.from_env()
    metrics = Metrics()
    hub = create_hub(config, turns, clock=clock, disk=disk, metrics=metrics)
    credentials = Credentials(
        config.credentials_file, config.shared_name, tenure_of=hub.credentials.tenure_of
    )
    _introduce(hub, credentials)

    def people() -> Sequence[str]:
        users = sorted(credentials.users().items())
        humans = [name for name, role in users if role == HUMAN]
        admins = [name for name, role in users if role == ADMIN]
        return escalation.people(config.escalate_to) or humans or admins

    hub.escalation.people = people
    service = RunnerClient(config.exec_socket_file)
    sender = WebhookSender(hub.webhooks, Network(private=config.webhooks_private), clock)
    hub.webhooks.secrets = WebhookSecrets(config.data_dir / "webhook-secrets")
    hub.webhooks.try_out = sender.test
    hub.chores.add(sender.tend, sender.stop)
    rest = (turns or Turns()).one_round
    run = config.data_dir / "run"
    quotas = (
        Quotas(run / "quotas", config.max_requests),
        Quotas(run / "quotas-waiting", config.max_waiting_each, "waiting"),
    )
    uploads = Quotas(
        run / "quotas-uploads",
        config.attachment_uploads,
        "uploads",
        "Let one of them end. BUS_ATTACHMENT_UPLOADS caps each credential.",
    )
    downloads = Quotas(
        run / "quotas-downloads",
        config.attachment_downloads,
        "downloads",
        "Let one of them end. BUS_ATTACHMENT_DOWNLOADS caps each credential.",
    )
    hub.attachments.start()
    desk = NoticeDesk(_queue(config, hub), config.notify_file, lambda: hub.log.position().seq)
    hub.texting = desk.texting
    app = make_app(
        hub,
        service,
        credentials,
        desk,
        keepalive_s=config.keepalive_s,
        max_file=config.file_max_bytes,
        rest=rest,
        quotas=quotas,
        metrics=metrics,
        files=(uploads, downloads),
        accel=config.accel,
    )
    app.extensions["bus"] = hub
    app.extensions["credentials"] = credentials
    app.extensions["exec"] = service
    app.extensions["webhooks"] = sender
    return app


def create_runner(
    config: Config, *, clock: Clock = time.time, disk: Disk | None = None
) -> SocketServer:
    """Return the runner: the service that runs commands, over the same data folder.

    Raises BadSetting, and OSError when there is one already.
    """
    from bus.config import BadSetting
    from bus.credentials import Credentials
    from bus.log.outputs import Results
    from bus.model.caller import ADMIN, MACHINES, MEMBER, Caller
    from bus.model.messages import Draft
    from bus.runner.drivers.targets import Targets
    from bus.runner.limits import Slots
    from bus.runner.service import Service
    from bus.runner.socket_server import SocketServer

    hub = create_hub(config, clock=clock, disk=disk)
    credentials = Credentials(
        config.credentials_file, config.shared_name, tenure_of=hub.credentials.tenure_of
    )
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
        hub.messages.post(Caller("bus", MEMBER), Draft.read({"from": "bus", **fields}))

    service = Service(
        hub,
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
    return SocketServer(
        config.exec_socket_file, config.data_dir, service, credentials, config.file_max_bytes
    )


def create_peers(
    config: Config,
    address: tuple[str, int],
    *,
    is_over: Callable[[], bool] = lambda: False,
    clock: Clock = time.time,
) -> Listener:
    """Return the listener for clients of claude-peers and agentmesh, over the same data folder.

    Raises BadSetting, and OSError where the address is taken.
    """
    from bus.credentials import Credentials
    from bus.hub.taken import TakenNames
    from bus.peers import proof
    from bus.peers.desk import Desk
    from bus.peers.listener import Listener
    from bus.peers.roll import Doors, Roll
    from bus.system.keys import key_in

    allowed = proof.networks(config.peers_allow, "BUS_PEERS_ALLOW")
    hub = create_hub(config, clock=clock)
    credentials = Credentials(
        config.credentials_file, config.shared_name, tenure_of=hub.credentials.tenure_of
    )
    _introduce(hub, credentials)
    tokens = proof.Tokens(key_in(config.data_dir / "peers.key"))
    doors = Doors(config.peers_tokenless, allowed)
    taken = TakenNames(hub, credentials)
    roll = Roll(hub, credentials, taken, tokens, doors, socket.gethostname())
    return Listener(address, Desk(hub, roll), is_over)


def create_notifier(
    config: Config,
    *,
    is_over: Callable[[], bool] = lambda: False,
    clock: Clock = time.time,
) -> Notifier:
    """Return what follows the log and sends notices, over the same data folder.

    Raises BadSetting, and OSError where another process does that already.
    """
    from bus.notify.service import Notifier

    hub, settings, tools = _notify_parts(config, clock)
    follower = _notify_follower(config, hub, settings, tools.queue)
    run = config.data_dir / "run"
    return Notifier(hub, tools.queue, settings, follower, tools.stopped, run, is_over)


def check_notifier(config: Config, *, clock: Clock = time.time) -> dict[str, list[str]]:
    """Return for each service of the settings of notices what is known of it; a line that begins
    with `!` tells of trouble. Raises BadSetting.
    """
    _, settings, _ = _notify_parts(config, clock)
    return {name: service.check() for name, service in settings.services.items()}


def _introduce(hub: Hub, credentials: Credentials) -> None:
    """Tell a hub who has a credential."""
    from bus.model.caller import ADMIN, MACHINES

    hub.agents.members = lambda: [
        name for name, role in credentials.users().items() if role in MACHINES
    ]
    hub.drafting.admins = lambda: [
        name for name, role in credentials.users().items() if role == ADMIN
    ]


def _notify_parts(config: Config, clock: Clock) -> tuple[Hub, Settings, Tools]:
    import threading

    from bus.credentials import Credentials
    from bus.notify.services.base import Tools
    from bus.notify.settings import load
    from bus.runner.client import RunnerClient

    hub = create_hub(config, clock=clock)
    _introduce(
        hub,
        Credentials(
            config.credentials_file, config.shared_name, tenure_of=hub.credentials.tenure_of
        ),
    )
    queue, stopped = _queue(config, hub), threading.Event()

    def tools(name: str) -> Tools:
        return Tools(name, hub, queue, clock, RunnerClient(config.exec_socket_file), stopped)

    return hub, load(config.notify_file, tools), tools("")


def _notify_follower(config: Config, hub: Hub, settings: Settings, queue: Queue) -> Follower:
    from bus.log.outputs import Results
    from bus.notify.events import Events
    from bus.notify.following import Follower

    kept = Results(config.data_dir / "calls", config.exec_keep_s, config.exec_keep_bytes)
    return Follower(hub, queue, Events(hub, kept), settings.rules)


def _queue(config: Config, hub: Hub) -> Queue:
    from bus.notices.database import Database
    from bus.notices.queue import Queue

    is_durable = config.fsync == "always"
    return Queue(Database(config.data_dir / "notices.db", is_durable=is_durable), hub.journal.time)


def create_hub(
    config: Config,
    turns: Turns | None = None,
    *,
    clock: Clock = time.time,
    disk: Disk | None = None,
    metrics: Metrics | None = None,
) -> Hub:
    """Return the hub without HTTP: what the app, the service and the commands share."""
    from bus.hub.agents import Leases
    from bus.hub.attachments import Limits
    from bus.hub.daily_quotas import DailyQuotas
    from bus.hub.hub import FileStore, Hub, Live
    from bus.hub.journal import Journal
    from bus.index.database import Index
    from bus.live.bell import Bell
    from bus.live.given import Given
    from bus.live.heartbeats import Heartbeats
    from bus.live.leader import Leader
    from bus.live.presence import Presence
    from bus.live.running import Running
    from bus.live.shown import ShownMail
    from bus.live.waiting import SharedCounts, WaitingRoom
    from bus.log.contents import Contents
    from bus.log.jsonl.disk import Disk
    from bus.log.jsonl.engine import JsonlLog
    from bus.log.jsonl.files import compress
    from bus.log.outputs import Results
    from bus.model import escalation
    from bus.model.agents import callsigns
    from bus.model.checkup_plan import plan
    from bus.model.hooks import ReachTrusts, labels
    from bus.system.scheduler import Turns

    turns = turns or Turns()

    def on_sealed(path: Path) -> None:
        if config.segment_compress:
            turns.beside(lambda: compress(path, Disk()))

    def ignored(seconds: float) -> None:
        pass

    on_appended, on_synced = (
        (ignored, ignored) if metrics is None else (metrics.appended, metrics.synced)
    )
    config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = JsonlLog(
        config.data_dir,
        fsync=config.fsync == "always",
        lock_timeout_s=config.lock_timeout_s,
        segment_max_bytes=config.segment_max_bytes,
        segment_max_age_s=config.segment_max_age_s,
        on_sealed=on_sealed,
        on_synced=on_synced,
        disk=disk,
        turns=turns,
    )
    index = Index(config.data_dir / "index.db", log, turns, config.query_max_s)
    log.unique_index = index
    run = config.data_dir / "run"
    waiting = WaitingRoom(log, SharedCounts(run / "waiting"), config.max_waiting, Bell(run))
    daily = DailyQuotas(run / "daily", config.max_daily_bytes, config.max_daily_names)
    limits = Limits(
        config.attachment_max_bytes,
        config.attachment_each_bytes,
        config.attachment_all_bytes,
        config.attachment_keep_s,
        config.upload_keep_s,
    )
    contents = Contents(config.files_folder, fsync=config.fsync == "always")
    return Hub(
        Journal(log, index, waiting, clock, daily, on_appended),
        Live(
            Presence(config.data_dir / "presence.db", config.polled_names_keep_s),
            Heartbeats(config.data_dir / "presence.db"),
            Given(config.data_dir / "presence.db", config.given_s),
            Leader(run / "leader.lock"),
            ShownMail(config.data_dir / "presence.db"),
            Running(config.data_dir / "presence.db"),
        ),
        Leases(config.lease_s, callsigns(config.callsigns)),
        FileStore(contents, limits, turns.carry, turns.block),
        daily,
        max_open_asks=config.max_open_asks,
        beside=Results(config.data_dir / "questions", _QUESTIONS_KEPT_S),
        approve_own=config.approve_own,
        strict=config.strict,
        private=config.private,
        loop_limit=config.loop_limit,
        trusts=ReachTrusts(labels(config.wake_trust), labels(config.bypass_trust)),
        checkup_plan=plan(config.checkup_to, config.checkup_at, config.checkup_always),
        context_key=config.data_dir / "context.key",
        private_webhooks=config.webhooks_private,
        escalate=escalation.ladder(config.escalate),
    )
