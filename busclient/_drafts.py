"""A draft of a mail in the owner's own mailbox, put there by IMAP: nothing is sent.

| setting            | meaning                                                                   |
|--------------------|---------------------------------------------------------------------------|
| BUS_IMAP           | `imaps://imap.gmail.com`; `imap://host` has to offer STARTTLS, off loopback |
| BUS_IMAP_USER      | the mailbox                                                               |
| BUS_IMAP_PASS      | its password (of Gmail: an app password), or:                             |
| BUS_IMAP_PASS_FILE | a file with it that nobody else may read                                  |
| BUS_DRAFT_TO       | recipients, with commas; BUS_IMAP_USER unless set                         |
| BUS_DRAFT_CC       | copies, with commas                                                       |
"""

from __future__ import annotations

import imaplib
import re
import ssl
import stat
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, getaddresses, make_msgid
from pathlib import Path
from urllib.parse import urlsplit

from busclient._errors import LocalTrouble, SettingsError
from busclient._harmless import one_line, quoted
from busclient._settings import Settings, is_loopback

_TIMEOUT_S = 20.0
_MOST_ADDRESSES = 50
_PORTS = {"imaps": 993, "imap": 143}
_GMAIL = "[Gmail]/Drafts"
_PASS_FILE = "BUS_IMAP_PASS_FILE is a file with nothing but the password, mode 0600."
# An answer of LIST: flags, what separates folders, the name (a word, in quotes, or bytes apart).
_LISTED = re.compile(rb'\((?P<flags>[^)]*)\) (?:"(?:\\.|[^"])*"|NIL) (?P<name>.*)', re.DOTALL)


@dataclass(frozen=True)
class Mailbox:
    """Where a draft goes, and to whom it is addressed."""

    url: str
    user: str
    password: str = field(repr=False)
    to: tuple[str, ...]
    cc: tuple[str, ...]

    @classmethod
    def of(cls, settings: Settings) -> Mailbox:
        """Return that of the settings; raises SettingsError."""
        more = settings.more
        missing = [name for name in ("BUS_IMAP", "BUS_IMAP_USER") if name not in more]
        if not {"BUS_IMAP_PASS", "BUS_IMAP_PASS_FILE"} & set(more):
            missing.append("BUS_IMAP_PASS")
        if missing:
            raise SettingsError(
                f"{' and '.join(missing)} must be set for a draft.",
                hint="For example BUS_IMAP=imaps://imap.gmail.com, in ~/.secrets/claude-bus.env.",
            )
        _check_url(more["BUS_IMAP"])
        user, to = more["BUS_IMAP_USER"], _addresses(more, "BUS_DRAFT_TO")
        if not to:
            to = _addresses({"BUS_IMAP_USER": user}, "BUS_IMAP_USER")
        return cls(
            more["BUS_IMAP"], user, _password(settings), to, _addresses(more, "BUS_DRAFT_CC")
        )

    def keep(self, subject: str, text: str) -> str:
        """Put a draft into the mailbox and return the folder's name. Raises LocalTrouble."""
        message = self._message(subject, text)
        host = urlsplit(self.url).hostname
        try:
            with self._connected() as imap:
                self._log_in(imap)
                folder = _drafts_folder(imap)
                at = imaplib.Time2Internaldate(time.time())
                answer, said = imap.append(folder, r"(\Draft)", at, message)
                if answer != "OK":
                    raise LocalTrouble(
                        f"{host} did not take the draft: {_words(said)}",
                        hint="Is the mailbox full, and may it be written?",
                    )
        except ssl.SSLCertVerificationError as error:
            raise LocalTrouble(
                f"The certificate of {host} is not trusted: {error.verify_message}.",
                hint="For a server of your own: SSL_CERT_FILE=FILE in the environment.",
            ) from error
        except (OSError, imaplib.IMAP4.error, EOFError) as error:
            why = getattr(error, "strerror", None) or str(error) or repr(error)
            raise LocalTrouble(
                f"No draft at {host}: {one_line(why, 300)}",
                hint="Is BUS_IMAP right, and does the server speak TLS?",
            ) from error
        return folder.strip('"')

    def _connected(self) -> imaplib.IMAP4:
        parts = urlsplit(self.url)
        host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
        context = ssl.create_default_context()
        if parts.scheme == "imaps":
            return imaplib.IMAP4_SSL(host, port, ssl_context=context, timeout=_TIMEOUT_S)
        imap = imaplib.IMAP4(host, port, timeout=_TIMEOUT_S)
        try:
            if not is_loopback(self.url):
                imap.starttls(context)  # raises where there is none: no password goes in the clear
        except BaseException:
            imap.shutdown()
            raise
        return imap

    def _log_in(self, imap: imaplib.IMAP4) -> None:
        answer = b"\0" + self.user.encode() + b"\0" + self.password.encode()
        try:
            if "AUTH=PLAIN" in imap.capabilities:  # it takes characters that LOGIN does not
                imap.authenticate("PLAIN", lambda _: answer)
            else:
                imap.login(self.user, self.password)
        except imaplib.IMAP4.abort:
            raise
        except (imaplib.IMAP4.error, UnicodeError) as error:
            raise LocalTrouble(
                f"{urlsplit(self.url).hostname} did not let {quoted(self.user)} in:"
                f" {one_line(str(error), 200)}",
                hint="Look at BUS_IMAP_USER and BUS_IMAP_PASS. Gmail wants an app password:"
                " https://myaccount.google.com/apppasswords",
            ) from None

    def _message(self, subject: str, text: str) -> bytes:
        message = EmailMessage(policy=SMTP)
        message["Subject"] = one_line(subject, 200)
        if "@" in self.user:
            message["From"] = self.user
        message["To"] = ", ".join(self.to)
        if self.cc:
            message["Cc"] = ", ".join(self.cc)
        message["Date"] = formatdate(localtime=True)
        message["Message-ID"] = make_msgid(domain="claude-bus.invalid")
        message.set_content(text)
        return message.as_bytes()


def _drafts_folder(imap: imaplib.IMAP4) -> str:
    r"""Return the folder of drafts as a word of IMAP: the one with the special use \Drafts (RFC
    6154), else Gmail's. Raises LocalTrouble.
    """
    # imaplib has only those of before the login
    told = b"SPECIAL-USE" in b" ".join(map(bytes, imap.capability()[1])).upper().split()
    answer, listed = imap.list('""', '"*" RETURN (SPECIAL-USE)' if told else '"*"')
    found = [_named(line) for line in listed if line] if answer == "OK" else []
    for flags, name in found:
        if "\\drafts" in flags.lower().split():
            return name
    for _, name in found:
        if name.strip('"') == _GMAIL:
            return name
    raise LocalTrouble(
        "The mailbox has no folder for drafts.",
        hint="Make one in your mail program (write a draft there), then try again.",
    )


def _named(line: object) -> tuple[str, str]:
    """Return the flags and the name of a folder, in quotes."""
    head, apart = line if isinstance(line, tuple) else (line, None)
    found = _LISTED.fullmatch(head) if isinstance(head, bytes) else None
    if found is None:
        return "", ""
    name = found["name"].decode("ascii", "replace")
    if isinstance(apart, bytes):
        text = apart.decode("ascii", "replace")
        name = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    elif not name.startswith('"'):
        name = f'"{name}"'
    return found["flags"].decode("ascii", "replace"), name


def _words(said: object) -> str:
    parts = said if isinstance(said, list) else [said]
    texts = [one.decode("utf-8", "replace") for one in parts if isinstance(one, bytes)]
    return one_line(" ".join(texts), 200) or "no reason given"


def _check_url(url: str) -> None:
    with suppress(ValueError):
        parts = urlsplit(url)
        has_more = parts.path.strip("/") or parts.query or parts.fragment or parts.username
        if parts.scheme in _PORTS and parts.hostname and not has_more and parts.port != 0:
            return
    raise SettingsError(
        f"BUS_IMAP is {quoted(url)}: it must be like imaps://imap.gmail.com.",
        hint="User and password go into BUS_IMAP_USER and BUS_IMAP_PASS.",
    )


def _addresses(more: Mapping[str, str], name: str) -> tuple[str, ...]:
    """Return the addresses of a setting; raises SettingsError."""
    text = more.get(name, "")
    found = [address for _, address in getaddresses([text])] if text else []
    is_right = all(re.fullmatch(r"[^\s@,;<>\"]+@[^\s@,;<>\"]+", address) for address in found)
    if not is_right or not text.isprintable() or len(found) > _MOST_ADDRESSES:
        raise SettingsError(
            f"{name} is {quoted(text)}: it must be mail addresses with commas between.",
            hint="Set BUS_DRAFT_TO=you@example.org."
            if name == "BUS_IMAP_USER"
            else f"For example {name}=you@example.org,ann@example.org",
        )
    return tuple(found)


def _password(settings: Settings) -> str:
    """Return the password; raises SettingsError where others may read it, or where the environment
    would lead that of a file elsewhere.
    """
    more, sources = settings.more, settings.sources
    name = "BUS_IMAP_PASS" if "BUS_IMAP_PASS" in more else "BUS_IMAP_PASS_FILE"
    if sources.get(name) != sources.get("BUS_IMAP"):
        raise SettingsError(
            f"BUS_IMAP comes from {sources.get('BUS_IMAP')}, and {name} from {sources.get(name)}:"
            " no password goes to a server that another place names.",
            hint="Set both in the same place.",
        )
    if name == "BUS_IMAP_PASS":
        if sources[name] != "environment":
            _check_private(Path(sources[name]))
        return more[name]
    file = Path(more[name]).expanduser()
    _check_private(file)
    try:
        password = file.read_text("utf-8").strip("\r\n")
    except (OSError, UnicodeError) as error:
        raise SettingsError(f"{file} cannot be read: {error}.", hint=_PASS_FILE) from None
    if not password or not password.isprintable():
        raise SettingsError(f"{file} must hold the password on one line.", hint=_PASS_FILE)
    return password


def _check_private(file: Path) -> None:
    try:
        mode = file.stat().st_mode
    except OSError as error:
        raise SettingsError(
            f"{file} cannot be read: {error.strerror or error}.", hint=_PASS_FILE
        ) from None
    if stat.S_IMODE(mode) & 0o077:
        raise SettingsError(
            f"{file} holds a password, and others may read it.", hint=f"chmod 600 {file}"
        )
