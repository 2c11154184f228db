"""Which hub, who I am, and with what credential: found once, frozen, the password never shown.

Each setting is taken from the first of these that has it:

1. the environment
2. `~/.secrets/claude-bus.env`
3. `~/.claude-net/config.json`, `{"machine":"laptopclaude","sshHost":"ovh5"}`: `machine` is the
   name, `url` the hub's address. Without `url`, the hub is reached by SSH through `sshHost`, unless
   one of the above gives a BUS_URL. `local` means the host of this container, at its address on
   the bridge (the default gateway)

| variable      | meaning                                          | default                     |
|---------------|--------------------------------------------------|-----------------------------|
| BUS_URL       | the hub's address (from BUS_SSH_HOST, if set)    | http://127.0.0.1:8787 (SSH) |
| BUS_USER      | user name of the credential                      | claude                      |
| BUS_PASS      | its password                                     | none: required              |
| BUS_NAME      | who I am on the bus                              | BUS_USER; shared: host      |
| BUS_SESSION   | who I am, before BUS_NAME; hooks set it          | none                        |
| BUS_SSH_HOST  | reach the hub through `ssh` to this host         | none: direct HTTP           |
| BUS_HANDOFFS  | handoffs clone: a folder, `owner/name` or a URL  | none                        |
| BUS_AUTOSTART | 1: start a hub on this machine when none answers | 0                           |

What single commands need besides (`MORE`) is in `Settings.more`, as it is written.
"""

from __future__ import annotations

import logging
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from urllib.parse import urlsplit

from busclient._errors import LocalTrouble, SettingsError
from busclient._files import followed, write_private
from busclient._older_fleet import LOCAL_URL, MEND, read_net_config
from busclient._places import Places, place_of

logger = logging.getLogger("busclient")

VARIABLES = (
    "BUS_URL",
    "BUS_USER",
    "BUS_PASS",
    "BUS_NAME",
    "BUS_SESSION",
    "BUS_SSH_HOST",
    "BUS_HANDOFFS",
    "BUS_AUTOSTART",
)
MORE = (  # of `bus share` and `bus get`, of `bus invite --draft`
    "BUS_SHARE",
    "BUS_SHARE_FROM",
    "BUS_IMAP",
    "BUS_IMAP_USER",
    "BUS_IMAP_PASS",
    "BUS_IMAP_PASS_FILE",
    "BUS_DRAFT_TO",
    "BUS_DRAFT_CC",
)
_READ = frozenset((*VARIABLES, *MORE))
SHARED_USER = "claude"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}(/[A-Za-z0-9][A-Za-z0-9._-]{0,63})?")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Settings:
    """Make them with `Settings.find()`, or by hand: `Settings(url=…, password=…, name=…)`.

    Raises SettingsError.
    """

    url: str
    password: str = field(repr=False)
    user: str = SHARED_USER
    name: str = ""
    ssh_host: str | None = None
    handoffs: Path | None = None
    handoffs_source: str | None = None  # what to clone where the folder is not there
    autostart: bool = False
    more: Mapping[str, str] = field(default_factory=dict, repr=False)  # of MORE, what is set
    sources: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    joined_as: str | None = field(default=None, compare=False, repr=False)  # the user in the files

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", _checked_url(self.url))
        if not self.name:
            object.__setattr__(self, "name", default_name(self.user))
        if not NAME.fullmatch(self.name) or self.name in ("any", "all"):
            raise SettingsError(
                f"BUS_NAME is {self.name!r}, which is not a name.",
                hint="For example BUS_NAME=laptop1.",
            )
        if not self.user or ":" in self.user or not self.user.isprintable():
            raise SettingsError(
                f"BUS_USER is {self.user!r}: it must be printable and hold no colon."
            )

    @classmethod
    def find(
        cls, environ: Mapping[str, str] | None = None, places: Places | None = None
    ) -> Settings:
        """Return those of this user on this machine; raises SettingsError that names each place
        looked at.
        """
        environ = os.environ if environ is None else environ
        places = places or Places.of_user(environ)
        found, sources, of_files = _gather(environ, places)
        ssh_host = found.get("BUS_SSH_HOST")
        is_of_older_fleet = sources.get("BUS_NAME") == str(places.net_config)
        url = found.get("BUS_URL") or (LOCAL_URL if ssh_host or is_of_older_fleet else "")
        missing = [
            name
            for name, value in (("BUS_URL", url), ("BUS_PASS", found.get("BUS_PASS")))
            if not value
        ]
        if missing:
            raise SettingsError(
                f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} set nowhere"
                f" (looked in the environment, {places.env_file} and {places.net_config})."
            )
        _check_whose_password(url, found, sources, of_files)
        handoffs, source = _handoffs(found.get("BUS_HANDOFFS"), places)
        return cls(
            url=url,
            password=found["BUS_PASS"],
            user=found.get("BUS_USER") or SHARED_USER,
            name=found.get("BUS_SESSION") or found.get("BUS_NAME", ""),
            ssh_host=ssh_host,
            handoffs=handoffs,
            handoffs_source=source,
            autostart=found.get("BUS_AUTOSTART") == "1",
            more={name: found[name] for name in MORE if name in found},
            sources=sources,
            joined_as=of_files.get("BUS_USER"),
        )

    @property
    def place(self) -> tuple[str, str, str]:
        """Whose hub it is: its URL, the user there, and the host from which the URL is seen so
        (empty: this machine).
        """
        return self.url, self.user, self.ssh_host or ""

    @property
    def hint_of_other_user(self) -> str | None:
        """What to do where a name is refused because the environment has another user than the
        file that `bus join` has written; None if it has not.
        """
        if self.joined_as in (None, self.user) or self.sources.get("BUS_USER") != "environment":
            return None
        given = [
            name
            for name in ("BUS_USER", "BUS_PASS", "BUS_URL", "BUS_SSH_HOST")
            if self.sources.get(name) == "environment"
        ]
        return (
            f"The environment has BUS_USER={self.user}, but this machine has joined as"
            f" {self.joined_as}: unset {' '.join(given)}"
        )

    @property
    def is_loopback(self) -> bool:
        """Whether the hub is on this machine."""
        return self.ssh_host is None and is_loopback(self.url)


def is_loopback(url: str) -> bool:
    """Return whether a URL leads to the very machine on which it is used."""
    return urlsplit(url).hostname in _LOOPBACK


def _handoffs(setting: str | None, places: Places) -> tuple[Path | None, str | None]:
    if setting is None:
        return None, None
    return place_of(setting, places.handoffs)


def default_name(user: str) -> str:
    """Return who I am where nothing says it: the user of the credential unless it is shared, else
    the short host name.
    """
    if user != SHARED_USER and NAME.fullmatch(user):
        return user
    host = re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname().partition(".")[0]).lstrip("._-")[
        :64
    ]
    return host or "unnamed"


def read_env_file(path: Path) -> dict[str, str]:
    """Return the BUS_* values of an env file, empty ones left out; {} when there is none.

    Raises SettingsError.
    """
    return _parsed(_text_of(path))[0]


def _text_of(path: Path) -> str:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be read: {error.strerror or error}.", hint=MEND
        ) from None
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise SettingsError(
            f"{path} is UTF-16.", hint="Save it as UTF-8 (PowerShell: Out-File -Encoding utf8)."
        )
    return data.decode("utf-8", "surrogateescape")  # a foreign byte spoils its own value, no other


def read_env_text(text: str) -> dict[str, str]:
    """Return the same of the text of such a file."""
    return _parsed(text)[0]


def _parsed(text: str) -> tuple[dict[str, str], list[int]]:
    """Return the values, and the numbers of the lines that hold none though they are no comment."""
    if not text:
        return {}, []
    from dotenv.parser import parse_stream  # noqa: PLC0415  takes 20 ms, and often there is no file

    found = list(parse_stream(StringIO(text.removeprefix("\ufeff"))))
    values = {entry.key: entry.value for entry in found if entry.key in _READ}
    unread = [entry.original.line for entry in found if entry.error]
    return {name: value for name, value in values.items() if name and value}, unread


def _gather(
    environ: Mapping[str, str], places: Places
) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """Return every setting that is set somewhere, and where; and what the files alone say."""
    values, unread = _parsed(_text_of(places.env_file))
    for number in unread:
        logger.warning(
            "line %d of %s is not NAME=value and counts for nothing", number, places.env_file
        )
    of_environment = {name: environ[name] for name in _READ if environ.get(name)}
    older = read_net_config(places.net_config)
    found = _merged(_merged(of_environment, values), older, is_older=True)
    of_files = _merged(values, older, is_older=True)
    sources = {
        name: "environment"
        if name in of_environment
        else str(places.env_file if name in values else places.net_config)
        for name in found
    }
    return found, sources, of_files


def _merged(
    first: Mapping[str, str], then: Mapping[str, str], *, is_older: bool = False
) -> dict[str, str]:
    """Return the settings of two places; an older fleet's SSH host counts only where there is no
    BUS_URL.
    """
    more = {
        name: value
        for name, value in then.items()
        if not (is_older and name == "BUS_SSH_HOST" and "BUS_URL" in first)
    }
    return {**more, **first}


def _check_whose_password(
    url: str, found: Mapping[str, str], sources: Mapping[str, str], of_files: Mapping[str, str]
) -> None:
    """Raise SettingsError where the environment would lead a file's password to another hub.

    A project that is opened in Claude Code may set the environment of our hooks.
    """
    host, hosts = found.get("BUS_SSH_HOST"), of_files.get("BUS_SSH_HOST")
    names = [name for name in ("BUS_URL", "BUS_SSH_HOST") if sources.get(name) == "environment"]
    known = of_files.get("BUS_URL") or (LOCAL_URL if hosts else None)
    if sources["BUS_PASS"] == "environment" or not names or known is None:
        return
    if (url.rstrip("/"), host) == (known.rstrip("/"), hosts):
        return
    led = f"{url} through {host}" if host else url
    own = f"{known} through {hosts}" if hosts else known
    raise SettingsError(
        f"{' and '.join(names)} of the environment {'leads' if len(names) == 1 else 'lead'} to"
        f" another hub ({led}) than that of the password in {sources['BUS_PASS']} ({own}): nothing"
        " was sent.",
        hint=f"Set BUS_USER and BUS_PASS in the environment too, or: unset {' '.join(names)}",
    )


def _checked_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = (
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and (parts.port is None or parts.port > 0)
        )
    except ValueError:
        parts, usable = urlsplit(""), False
    if parts.username or parts.password:
        raise SettingsError(
            "BUS_URL holds a user name or password.", hint="Put them into BUS_USER and BUS_PASS."
        )
    if not usable or parts.query or parts.fragment:
        raise SettingsError(
            f"BUS_URL is {url!r}: it must be like https://bus.example.org or http://127.0.0.1:8787."
        )
    return url.rstrip("/")


def write_env(
    path: Path, values: Mapping[str, str], *, force: bool = False, note: str = ""
) -> None:
    """Write the settings file, for this user alone.

    Never over an existing one without `force`; raises SettingsError.
    """
    check_free(path, force=force)
    empty = [name for name, value in values.items() if not value]
    if empty:
        raise SettingsError(f"{' and '.join(empty)} would be empty in {path}: nothing was written.")
    text = (f"# {note}\n" if note else "") + "".join(
        f"{name}={quoted(value)}\n" for name, value in values.items()
    )
    try:
        write_private(followed(path), text)
    except OSError as error:
        raise LocalTrouble(f"{path} cannot be written: {error.strerror or error}.") from error


def as_values(settings: Settings) -> dict[str, str]:
    """Return what the settings file says of these settings."""
    values = {
        "BUS_URL": settings.url,
        "BUS_USER": settings.user,
        "BUS_PASS": settings.password,
        "BUS_NAME": settings.name,
    }
    return values if settings.ssh_host is None else {**values, "BUS_SSH_HOST": settings.ssh_host}


def check_free(path: Path, *, force: bool = False) -> None:
    """Raise SettingsError when there is a settings file already, and it is not to be replaced."""
    if path.exists() and not force:
        raise SettingsError(
            f"{path} is there already.", hint="Give --force to replace it, or `bus leave` first."
        )


def quoted(value: str) -> str:
    """Return a value as python-dotenv, scripts/session-start-poll and a shell that sources the file
    read it back.

    In single quotes, where none of them changes anything. What cannot stand there goes into double
    quotes; a shell then expands `$` and backquotes, the other two do not.
    """
    if set(value) & set("\n\r\0"):
        raise SettingsError("A setting must be on one line.")
    if "'" in value or "\\\\" in value or value.endswith("\\"):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"'{value}'"
