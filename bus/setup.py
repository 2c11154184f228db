"""What a first start needs: the data folder, a credential, and a file that curl users can source."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path

from bus.config import BadSetting, Config
from bus.credentials import Credentials, new_secret
from bus.log.jsonl import JsonlLog

FIRST_USER = "claude"


def prepare(config: Config, environ: Mapping[str, str] | None = None) -> list[str]:
    """Make what is not there yet; gives a line for each thing made.

    The first credential is BUS_USER and BUS_PASS where they are set, else `claude` and a random secret. It is
    also written, in the clear, to `claude-bus.env` in the data folder, mode 0600.
    """
    environ = os.environ if environ is None else environ
    said = []
    if not config.data_dir.exists():
        config.data_dir.mkdir(mode=0o700, parents=True)
        said.append(f"made the data folder {config.data_dir}")
    credentials = Credentials(config.credentials_file)
    user, secret = environ.get("BUS_USER") or FIRST_USER, environ.get("BUS_PASS") or ""
    if ":" in user or not user.isprintable():
        raise BadSetting(f"BUS_USER is {user!r}: it must be printable and hold no colon")
    if not credentials.users() or (secret and user not in credentials.users()):
        secret = secret or new_secret()
        credentials.add(user, secret)
        said.append(f"added the credential of {user} to {config.credentials_file}")
        said.append(f"its password is in {_write_env(config, user, secret)}")
    return said


def restore(config: Config) -> bool:
    """Lift the stop that a failed write or sync left, after verifying the log; gives whether there was one."""
    log = JsonlLog(config.data_dir, fsync=config.fsync == "always", lock_timeout_s=config.lock_timeout_s)
    try:
        return log.restore()
    finally:
        log.close()


def base_url(config: Config) -> str:
    """Where a client on this machine finds the hub."""
    if config.listen.startswith("unix:"):
        return "http://localhost"
    host, _, port = config.listen.rpartition(":")
    return f"http://{'127.0.0.1' if host in ('', '0.0.0.0', '[::]') else host}:{port}"


def _write_env(config: Config, user: str, secret: str) -> Path:
    path = config.data_dir / "claude-bus.env"
    values = {"BUS_URL": base_url(config), "BUS_USER": user, "BUS_PASS": secret}
    text = "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(text)
    return path
