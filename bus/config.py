"""Every setting of the hub: one table, read once, frozen.

Each is an environment variable. `docs/operations.md` lists them for people; a test keeps the two
equal.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from bus.model import agents, checkup_plan, escalation, hooks
from bus.model.records import NAME
from bus.settings import KIB, MIB, AttachmentSettings, BadSetting, is_address, parsed
from bus.settings import setting as _setting

__all__ = ["BadSetting", "Config"]


@dataclass(frozen=True)
class Config(AttachmentSettings):
    """The settings. Make one with `Config.from_env()`; tests make one with keyword arguments."""

    data_dir: Path = _setting("BUS_DATA_DIR", Path("data"), "folder", "log, index, credentials")
    credentials: Path | None = _setting(
        "BUS_CREDENTIALS",
        None,
        "file",
        "who may call; `credentials` in the data folder unless set. nginx reads it too",
    )
    shared_user: str = _setting(
        "BUS_SHARED_USER",
        "claude",
        "user name",
        "the old fleet's shared user, who may post and acknowledge under any free name; -: there is"
        " none",
    )
    listen: str = _setting(
        "BUS_LISTEN", "127.0.0.1:8787", "address", "host:port, or unix:/path for nginx in front"
    )
    workers: int = _setting(
        "BUS_WORKERS",
        2,
        "processes",
        "two were best on two cores, and one goes on when one is killed",
        1,
        64,
    )
    threads: int = _setting(
        "BUS_THREADS",
        4,
        "threads",
        "of a worker, for work that would stall it: rebuilding, compressing",
        1,
        64,
    )
    fsync: str = _setting(
        "BUS_FSYNC",
        "always",
        "always|never",
        "never is for throw-away runs: a power cut loses messages",
    )
    lock_timeout_s: float = _setting(
        "BUS_LOCK_TIMEOUT_S",
        5.0,
        "seconds",
        "how long a post waits for a stopped process before 503",
        0.05,
        60,
    )
    segment_max_bytes: int = _setting(
        "BUS_SEGMENT_MAX_BYTES",
        64 * MIB,
        "bytes",
        "the active file is sealed at this size",
        4 * KIB,
        4096 * MIB,
    )
    segment_max_age_s: int = _setting(
        "BUS_SEGMENT_MAX_AGE_S",
        0,
        "seconds",
        "the active file is sealed at this age; 0: never by age",
        0,
        10**9,
    )
    segment_compress: bool = _setting(
        "BUS_SEGMENT_COMPRESS", False, "0|1", "sealed files become .jsonl.gz"
    )
    max_requests: int = _setting(
        "BUS_MAX_REQUESTS",
        1_000,
        "requests",
        "of one credential under way at once, those that wait among them",
        1,
        100_000,
    )
    max_waiting: int = _setting(
        "BUS_MAX_WAITING",
        2_048,
        "requests",
        "long polls and streams at once, over all workers",
        0,
        10_000,
    )
    max_waiting_each: int = _setting(
        "BUS_MAX_WAITING_EACH",
        800,
        "requests",
        "of one credential among those long polls and streams",
        1,
        10_000,
    )
    max_daily_bytes: int = _setting(
        "BUS_MAX_DAILY_BYTES",
        2_048 * MIB,
        "bytes",
        "of the log that one credential may cause in a UTC day",
        64 * KIB,
        1 << 50,
    )
    max_daily_names: int = _setting(
        "BUS_MAX_DAILY_NAMES",
        10_000,
        "names",
        "that one credential may use in a UTC day, besides its own",
        1,
        100_000,
    )
    max_open_asks: int = _setting(
        "BUS_MAX_OPEN_ASKS", 100, "questions", "of one credential, open at once", 1, 10_000
    )
    query_max_s: float = _setting(
        "BUS_QUERY_MAX_S",
        1.0,
        "seconds",
        "how long a question to the index may take, then 503",
        0.001,
        30,
    )
    polled_names_keep_s: int = _setting(
        "BUS_POLLED_NAMES_KEEP_S",
        30 * 86_400,
        "seconds",
        "how long a name that does no more than poll is listed",
        60,
        10**9,
    )
    lease_s: int = _setting(
        "BUS_LEASE_S",
        60,
        "seconds",
        "how long a session keeps its name without a sign of life",
        5,
        86_400,
    )
    given_s: int = _setting(
        "BUS_GIVEN_S",
        600,
        "seconds",
        "after which a machine's mail that was given to one session is given to another",
        10,
        86_400,
    )
    callsigns: str = _setting(
        "BUS_CALLSIGNS", "", "names", "with commas: for sessions without one; alpha, … unless set"
    )
    loop_limit: int = _setting(
        "BUS_LOOP_LIMIT",
        20,
        "replies",
        "of the same agents to each other within ten minutes, then 429; 0: no limit",
        0,
        10_000,
    )
    wake_trust: str = _setting(
        "BUS_WAKE_TRUST", "", "labels", "with commas: of what may wake a session; any unless set"
    )
    bypass_trust: str = _setting(
        "BUS_BYPASS_TRUST",
        "human,agent,hub",
        "labels",
        "with commas: of what hooks show to a session in bypass mode; other mail is counted there",
    )
    private: bool = _setting(
        "BUS_PRIVATE",
        False,
        "0|1",
        "1: a message is seen by its sender, its recipients and admins only",
    )
    checkup_to: str = _setting(
        "BUS_CHECKUP_TO", "", "names", "with commas: who gets the check-up; nobody unless set"
    )
    checkup_at: str = _setting(
        "BUS_CHECKUP_AT", "09:00", "times", "with commas: at which times of the day in UTC"
    )
    checkup_always: bool = _setting(
        "BUS_CHECKUP_ALWAYS", False, "0|1", "1: also when nothing is stuck"
    )
    strict: bool = _setting(
        "BUS_STRICT", False, "0|1", "1: a post to a name that nobody has is refused"
    )
    escalate: str = _setting(
        "BUS_ESCALATE", "", "steps", "after a deadline: wake:0 human:1h; unset: the report at once"
    )
    escalate_to: str = _setting(
        "BUS_ESCALATE_TO", "", "names", "with commas: its humans; unset: people, else the admins"
    )
    webhooks_private: bool = _setting(
        "BUS_WEBHOOKS_PRIVATE",
        False,
        "0|1",
        "1: webhooks may lead to loopback, to private and to any other addresses",
    )
    notify_config: Path | None = _setting(
        "BUS_NOTIFY_CONFIG",
        None,
        "file",
        "the services and rules of notices; `notify.toml` in the data folder unless set",
    )
    keepalive_s: float = _setting(
        "BUS_KEEPALIVE_S", 15.0, "seconds", "how often a quiet stream says that it lives", 0.05, 300
    )
    peers_compat: bool = _setting(
        "BUS_PEERS_COMPAT", False, "0|1", "1: clients of claude-peers and agentmesh are served too"
    )
    peers_listen: str = _setting(
        "BUS_PEERS_LISTEN", "127.0.0.1:7899", "address", "where: host:port"
    )
    peers_tokenless: bool = _setting(
        "BUS_PEERS_TOKENLESS", True, "0|1", "1: peers of this machine may leave out their token"
    )
    peers_allow: str = _setting(
        "BUS_PEERS_ALLOW", "", "networks", "with commas: whose peers need no credential to register"
    )

    exec_socket: Path | None = _setting(
        "BUS_EXEC_SOCKET",
        None,
        "file",
        "where the service that runs commands listens; `run/exec.sock` in the data folder"
        " unless set",
    )
    targets: Path | None = _setting(
        "BUS_TARGETS",
        None,
        "file",
        "the table of machines that are targets; `targets.toml` in the data folder unless set",
    )
    lxc: str = _setting(
        "BUS_LXC",
        "lxc",
        "lxc|incus|none",
        "the program that reaches containers; none: there are none",
    )
    lxc_project: str = _setting(
        "BUS_LXC_PROJECT",
        "default",
        "name",
        "the project of LXD or Incus whose containers are targets",
    )
    lxc_only: str = _setting(
        "BUS_LXC_ONLY", "", "names", "with commas: only these containers are targets"
    )
    restores_kept: int = _setting(
        "BUS_RESTORES_KEPT",
        5,
        "snapshots",
        "of those that restores make by themselves, kept of each container",
        1,
        1_000,
    )
    exec_per_target: int = _setting(
        "BUS_EXEC_PER_TARGET", 16, "calls", "at once in one target, then 429", 1, 1_000
    )
    exec_per_caller: int = _setting(
        "BUS_EXEC_PER_CALLER", 16, "calls", "at once of one caller, then 429", 1, 1_000
    )
    exec_max_output: int = _setting(
        "BUS_EXEC_MAX_OUTPUT",
        MIB,
        "bytes",
        "kept of each of a command's two outputs",
        1 * KIB,
        16 * MIB,
    )
    exec_keep_s: int = _setting(
        "BUS_EXEC_KEEP_S",
        7 * 86_400,
        "seconds",
        "how long the output of calls is kept",
        86_400,
        10**9,
    )
    exec_keep_bytes: int = _setting(
        "BUS_EXEC_KEEP_BYTES",
        1024 * MIB,
        "bytes",
        "and how much of it in all: then the oldest goes",
        16 * MIB,
        1024 * 1024 * MIB,
    )
    approve_own: bool = _setting(
        "BUS_APPROVE_OWN",
        False,
        "0|1",
        "1: an admin may say yes to its own calls; 0: another admin has to",
    )
    file_max_bytes: int = _setting(
        "BUS_FILE_MAX_BYTES",
        8 * MIB,
        "bytes",
        "the largest file that is read or written",
        1 * KIB,
        8 * MIB,
    )

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Config:
        """Read BUS_* from the environment; raises BadSetting."""
        environ = os.environ if environ is None else environ
        given = {}
        for setting in fields(cls):
            text = environ.get(setting.metadata["name"], "")
            if text != "":
                given[setting.name] = parsed(setting, text)
        return cls(**given).validate()

    def paths(self) -> dict[str, Path]:
        """Return the files and folders that are set, by the variable that sets each."""
        found = {setting.metadata["name"]: getattr(self, setting.name) for setting in fields(self)}
        return {name: value for name, value in found.items() if isinstance(value, Path)}

    def validate(self) -> Config:
        """Give self back when every value is usable; raises BadSetting."""
        if self.fsync not in ("always", "never"):
            raise BadSetting(f"BUS_FSYNC is {self.fsync!r}: it must be always or never")
        if self.shared_user != "-" and (
            NAME.fullmatch(self.shared_user) is None or "/" in self.shared_user
        ):
            raise BadSetting(
                f"BUS_SHARED_USER is {self.shared_user!r}: it must be a user name, or - for none"
            )
        if not is_address(self.listen):
            raise BadSetting(
                f"BUS_LISTEN is {self.listen!r}: it must be host:port, such as 127.0.0.1:8787, or"
                " unix:/path"
            )
        if not is_address(self.peers_listen) or self.peers_listen.startswith("unix:"):
            raise BadSetting(f"BUS_PEERS_LISTEN is {self.peers_listen!r}: it must be host:port")
        if self.lxc not in ("lxc", "incus", "none"):
            raise BadSetting(f"BUS_LXC is {self.lxc!r}: it must be lxc, incus or none")
        for name, text, words in (
            ("BUS_CALLSIGNS", self.callsigns, agents.callsigns),
            ("BUS_WAKE_TRUST", self.wake_trust, hooks.labels),
            ("BUS_BYPASS_TRUST", self.bypass_trust, hooks.labels),
            ("BUS_CHECKUP_TO", self.checkup_to, checkup_plan.recipients),
            ("BUS_CHECKUP_AT", self.checkup_at, checkup_plan.times),
            ("BUS_ESCALATE", self.escalate, escalation.ladder),
            ("BUS_ESCALATE_TO", self.escalate_to, escalation.people),
        ):
            try:
                words(text)
            except ValueError as error:
                raise BadSetting(f"{name} is {text!r}: {error}") from None
        for setting in fields(self):
            low, high = setting.metadata["low"], setting.metadata["high"]
            value = getattr(self, setting.name)
            if low is not None and not low <= value <= high:
                raise BadSetting(
                    f"{setting.metadata['name']} is {value}: it must be {low:.15g} to {high:.15g}"
                )
        return self

    @property
    def exec_socket_file(self) -> Path:
        return self.exec_socket or self.data_dir / "run" / "exec.sock"

    @property
    def files_folder(self) -> Path:
        return self.files_dir or self.data_dir / "files"

    @property
    def targets_file(self) -> Path:
        return self.targets or self.data_dir / "targets.toml"

    @property
    def notify_file(self) -> Path:
        return self.notify_config or self.data_dir / "notify.toml"

    @property
    def credentials_file(self) -> Path:
        return self.credentials or self.data_dir / "credentials"

    @property
    def shared_name(self) -> str:
        """The shared user's name; empty when there is none."""
        return "" if self.shared_user == "-" else self.shared_user
