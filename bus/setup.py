"""What a first start needs: the data folder, a credential, and a file that curl users can source."""

from __future__ import annotations

import os
import shlex
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from dotenv import dotenv_values

from bus.config import BadSetting, Config
from bus.credentials import Credentials, new_secret
from bus.errors import BusError
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
    if not credentials.users() or (secret and not credentials.knows(user, secret)):
        secret = secret or new_secret()
        credentials.add(user, secret)
        said.append(f"set the credential of {user} in {config.credentials_file}")
        said.append(f"its password is in {_write_env(config, user, secret)}")
    elif (known := dotenv_values(_env_file(config))) and known.get("BUS_URL") != base_url(config):
        _write_env(config, known.get("BUS_USER") or user, known.get("BUS_PASS") or "")
        said.append(f"{_env_file(config)} now says {base_url(config)}")
    return said


def refuse_taken_address(config: Config) -> None:
    """Raise OSError when the hub's address cannot be listened at, before anything is said of it."""
    if config.listen.startswith("unix:"):
        return
    host, _, port = config.listen.rpartition(":")
    with socket.socket(socket.AF_INET6 if host.startswith("[") else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), int(port)))
        except OSError as error:
            raise OSError(f"{config.listen} cannot be listened at ({error.strerror}): set another BUS_LISTEN") from None


def restore(config: Config) -> bool:
    """Lift the stop that a failed write or sync left, after verifying the log; gives whether there was one."""
    log = JsonlLog(config.data_dir, fsync=config.fsync == "always", lock_timeout_s=config.lock_timeout_s)
    try:
        restored = log.restore()
        with suppress(BusError):  # a stopped process holds the log, or the disk is full: posts will say so, reads go on
            log.take_in_rest()
        return restored
    finally:
        log.close()


def base_url(config: Config) -> str:
    """Where a client on this machine finds the hub."""
    if config.listen.startswith("unix:"):
        return "http://localhost"
    host, _, port = config.listen.rpartition(":")
    return f"http://{'127.0.0.1' if host in ('', '0.0.0.0', '[::]') else host}:{port}"


def _env_file(config: Config) -> Path:
    return config.data_dir / "claude-bus.env"


def _write_env(config: Config, user: str, secret: str) -> Path:
    path = _env_file(config)
    values = {"BUS_URL": base_url(config), "BUS_USER": user, "BUS_PASS": secret}
    text = "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(text)
    return path
