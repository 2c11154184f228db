"""What a first start needs: the data folder, a credential, an admin, and files that curl users can
source.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from errno import EADDRINUSE
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from bus.config import BadSetting, Config
from bus.credentials import Credentials, file, new_secret
from bus.errors import BusError
from bus.log.jsonl.engine import JsonlLog
from bus.model.caller import ADMIN
from bus.server import env_file
from bus.system import durable, modes

FIRST_USER = "claude"
FIRST_ADMIN = "admin"


def prepare(config: Config, environ: Mapping[str, str] | None = None) -> list[str]:
    """Make what is not there yet; returns a line for each thing made.

    The first credential is BUS_USER and BUS_PASS where they are set, else `claude` and a random
    secret. It is also written, in the clear, to `claude-bus.env` in the data folder, mode 0600.
    Where there is no admin, `admin` is made, its secret in `admin.env`. What is made here is not
    noted in the log: there may be none yet. Of two starts at once one makes it: what is missing is
    looked for again under the lock of the credentials.
    """
    environ = os.environ if environ is None else environ
    said = []
    if not config.data_dir.exists():
        config.data_dir.mkdir(mode=0o700, parents=True)
        said.append(f"made the data folder {config.data_dir}")
    modes.settle(config.data_dir)
    credentials = Credentials(config.credentials_file, config.shared_name)
    user, secret = environ.get("BUS_USER") or FIRST_USER, environ.get("BUS_PASS") or ""
    if ":" in user or not user.isprintable():
        raise BadSetting(f"BUS_USER is {user!r}: it must be printable and hold no colon")
    said += _make_user(config, credentials, user, secret)
    said += _make_admin(config, credentials)
    for path in (_env_file(config), admin_file(config)):
        said += _follow_address(config, path, user)
    return said


def _make_user(config: Config, credentials: Credentials, user: str, given: str) -> list[str]:
    """Return the first credential, unless there is one; a `given` secret becomes the user's in any
    case.
    """

    def is_there() -> bool:
        return bool(credentials.users()) and (not given or credentials.knows(user, given))

    if is_there():
        return []
    with file.locked(config.credentials_file) as lines:
        if is_there():  # another start was faster
            return []
        secret = given or new_secret()
        # The file first: a crash in between leaves a file that the next start replaces, not a
        # secret that is lost.
        path = _write_env(_env_file(config), config, user, secret)
        file.put_locked(
            config.credentials_file, lines, user, secret, ADMIN if user == FIRST_ADMIN else ""
        )
    return [
        f"set the credential of {user} in {config.credentials_file}",
        f"its password is in {path}",
    ]


def _make_admin(config: Config, credentials: Credentials) -> list[str]:
    """Return the first admin, unless there is one."""
    if ADMIN in credentials.users().values():
        return []
    with file.locked(config.credentials_file) as lines:
        users = credentials.users()
        if ADMIN in users.values():  # another start was faster
            return []
        if FIRST_ADMIN in users:
            return [
                "there is no admin, and `admin` is a member: make one with python -m bus credential"
                " add NAME --admin"
            ]
        secret = new_secret()
        path = _write_env(admin_file(config), config, FIRST_ADMIN, secret)
        file.put_locked(config.credentials_file, lines, FIRST_ADMIN, secret, ADMIN)
    return [f"made the admin {FIRST_ADMIN}; its password is in {path}"]


def _follow_address(config: Config, path: Path, user: str) -> list[str]:
    """Write the hub's address into a file to be sourced, when it has changed and no hub answers at
    the one that is there.
    """

    def is_right(values: dict[str, str]) -> bool:
        return "BUS_PASS" not in values or values.get("BUS_URL") == base_url(config)

    # At a socket the URL is that of the proxy in front, which scripts/install-server has filled in.
    known = env_file.read(path)
    if config.listen.startswith("unix:") or is_right(known):
        return []
    if _is_answered(known.get("BUS_URL", "")):
        return [
            f"{path} stays as it is: something answers at {known['BUS_URL']}; this hub is at"
            f" {base_url(config)}"
        ]
    with file.locked(config.credentials_file):
        values = env_file.read(path)
        if is_right(values):
            return []
        _write_env(path, config, values.get("BUS_USER") or user, values["BUS_PASS"])
    return [f"{path} now says {base_url(config)}"]


def _is_answered(url: str) -> bool:
    """Return whether a connection is taken at an address of this machine, as where another hub runs
    on this data folder.
    """
    try:
        address = urlsplit(url)
        with socket.create_connection(
            (str(ip_address(address.hostname or "")), address.port or 80), timeout=1
        ):
            return True
    except (OSError, ValueError):
        return False


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
            use_it = (
                "if a hub runs there already, use it; else " if error.errno == EADDRINUSE else ""
            )
            why = f"{config.listen} cannot be listened at ({error.strerror})"
            raise OSError(f"{why}: {use_it}set another BUS_LISTEN") from None


def is_closed_to_others(config: Config) -> bool:
    """Return whether the hub listens at a socket whose folder only its owner and its group may
    enter.
    """
    folder = Path(config.listen.removeprefix("unix:")).parent
    return (
        config.listen.startswith("unix:") and folder.is_dir() and not folder.stat().st_mode & 0o007
    )


def restore(config: Config) -> bool:
    """Lift the stop that a failed write or sync left, after verifying the log; returns whether
    there was one.
    """
    log = JsonlLog(
        config.data_dir, fsync=config.fsync == "always", lock_timeout_s=config.lock_timeout_s
    )
    try:
        restored = log.restore()
        with suppress(
            BusError
        ):  # a stopped process holds the log, or the disk is full: posts will say so, reads go on
            log.take_in_rest()
        return restored
    finally:
        log.close()


def base_url(config: Config) -> str:
    """Return where a client on this machine finds the hub."""
    if config.listen.startswith("unix:"):
        return "http://localhost"
    host, _, port = config.listen.rpartition(":")
    return f"http://{'127.0.0.1' if host in ('', '0.0.0.0', '[::]') else host}:{port}"


def public_url(config: Config) -> str:
    """Return where machines elsewhere find the hub, as far as it is known here: BUS_URL, or what
    claude-bus.env says.
    """
    known = env_file.read(_env_file(config))
    return os.environ.get("BUS_URL") or known.get("BUS_URL") or base_url(config)


def is_loopback(url: str) -> bool:
    """Return whether a URL leads to the very machine on which it is used."""
    return urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")


def become_owner(config: Config) -> None:
    """As root, go on as the user that the data folder belongs to: what root makes in it would shut
    out the hub.
    """
    owner = config.data_dir.stat()
    if os.geteuid() == 0 and owner.st_uid != 0:
        os.setgroups([])
        os.setgid(owner.st_gid)
        os.setuid(owner.st_uid)


def keep_owner(fd: int, folder: Path) -> None:
    """Give what root makes in a folder to the folder's owner: else it would shut out the hub."""
    owner = folder.stat()
    if os.geteuid() == 0 and owner.st_uid != 0:
        os.fchown(fd, owner.st_uid, owner.st_gid)


def admin_file(config: Config) -> Path:
    """Return where the first admin's secret is, in the clear."""
    return config.data_dir / "admin.env"


def _env_file(config: Config) -> Path:
    return config.data_dir / "claude-bus.env"


def _write_env(path: Path, config: Config, user: str, secret: str) -> Path:
    """Write a file to be sourced, whole or not at all, mode 0600."""
    text = env_file.text({"BUS_URL": base_url(config), "BUS_USER": user, "BUS_PASS": secret})
    durable.atomic_write(path, text.encode(), settle=lambda fd: keep_owner(fd, path.parent))
    return path
