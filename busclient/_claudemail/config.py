"""The configuration of ClaudeMail, as it was written: only read.

The first of these that is there is taken: the path that is given, `CLAUDEMAIL_CONFIG`,
`~/.claudemail/config.json`, `~/.config/claudemail/config.json`, `/etc/claudemail/config.json`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from busclient._claudemail.plain_files import NotTaken, read_text
from busclient._errors import SettingsError

VARIABLE = "CLAUDEMAIL_CONFIG"
KNOWN = ("nodes", "instances", "callsigns", "signatures", "mailbox_dir", "intervals")
_PATH = "Give its path: bus import claudemail --config PATH"
_MEND = "Mend the file, or give another one: bus import claudemail --config PATH"
_LONGEST, _MOST = 1024 * 1024, 1_000
_OF_A_NODE, _OF_AN_INSTANCE = ("name", "ip", "gateway_port"), ("name", "callsign", "signature")


@dataclass
class Config:
    """What the file says. `names` has each name that is used there, with the one that it goes by:
    its callsign where it has one. `odd` is what was not understood.
    """

    path: Path
    nodes: dict[str, str] = field(default_factory=dict)  # name: address with port
    names: dict[str, str] = field(default_factory=dict)
    signatures: dict[str, str] = field(default_factory=dict)
    mailbox_dir: Path | None = None
    intervals: dict[str, Any] = field(default_factory=dict)
    odd: list[str] = field(default_factory=list)


def places(environ: Mapping[str, str], home: Path, root: Path = Path("/")) -> list[Path]:
    """Return where a configuration may be, in the order in which it is looked for."""
    first = [Path(environ[VARIABLE]).expanduser()] if environ.get(VARIABLE) else []
    return [
        *first,
        home / ".claudemail" / "config.json",
        home / ".config" / "claudemail" / "config.json",
        root / "etc" / "claudemail" / "config.json",
    ]


def find(given: Path | None, environ: Mapping[str, str] | None = None) -> Path:
    """Return the configuration that counts; raises SettingsError where there is none. A path that
    somebody gave must be there: no other is taken for it.
    """
    environ = os.environ if environ is None else environ
    named = given or (Path(environ[VARIABLE]).expanduser() if environ.get(VARIABLE) else None)
    if named is not None:
        if not named.exists():
            by = "--config" if given else VARIABLE
            raise SettingsError(f"{by} names {named}: there is no such file.", hint=_PATH)
        return named
    looked = places(environ, Path(environ.get("HOME") or Path.home()))
    for path in looked:
        if path.exists():
            return path
    raise SettingsError(
        f"There is no configuration of ClaudeMail: {', '.join(map(str, looked))}.",
        hint=_PATH,
    )


def read(path: Path) -> Config:
    """Return what a configuration says; raises SettingsError for one that cannot be read."""
    try:
        said = json.loads(read_text(path, _LONGEST, follow=True))
    except NotTaken as error:
        raise SettingsError(f"{path}: {error}.", hint=_MEND) from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise SettingsError(f"{path} is no JSON: {where}: {error.msg}.", hint=_MEND) from None
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{path} is no JSON: {str(error)[:100]}.", hint=_MEND) from None
    if not isinstance(said, dict):
        raise SettingsError(f"{path} is not a JSON object.", hint=_MEND)
    config = Config(path)
    config.odd += [f"{key}: an unknown key" for key in said if key not in KNOWN]
    _read_names(config, said)
    for name, node in _named(config, said, "nodes"):
        _read_node(config, name, node)
    for name, text in _named(config, said, "signatures"):
        _read_signature(config, name, text)
    intervals = said.get("intervals")
    if isinstance(intervals, dict):
        config.intervals = dict(list(intervals.items())[:_MOST])
    elif intervals is not None:
        config.odd.append("intervals: it is no object")
    folder = said.get("mailbox_dir")
    if isinstance(folder, str) and folder and "\0" not in folder:
        config.mailbox_dir = path.absolute().parent / Path(folder).expanduser()
    elif folder is not None:
        config.odd.append("mailbox_dir: it is no path")
    return config


def _read_names(config: Config, said: Mapping[str, Any]) -> None:
    for name, instance in _named(config, said, "instances"):
        config.names.setdefault(name, name)
        if isinstance(instance, dict):
            config.odd += [
                f"instances.{name}.{key}: an unknown key"
                for key in instance
                if key not in _OF_AN_INSTANCE
            ]
            if isinstance(instance.get("callsign"), str):
                _call(config, name, instance["callsign"])
            if "signature" in instance:
                _read_signature(config, name, instance["signature"])
        elif instance not in (None, name):
            config.odd.append(f"instances.{name}: it is no object")
    for name, sign in _named(config, said, "callsigns"):
        if sign is None or isinstance(sign, str):
            _call(config, name, sign or name)
        else:
            config.odd.append(f"callsigns.{name}: it is no text")


def _call(config: Config, name: str, sign: str) -> None:
    config.names[name] = sign
    config.names[sign] = sign


def _read_node(config: Config, name: str, node: Any) -> None:
    if isinstance(node, str):
        config.nodes[name] = node
        return
    if not isinstance(node, dict) or not isinstance(node.get("ip"), str) or not node["ip"]:
        config.odd.append(f"nodes.{name}: it has no `ip`")
        return
    config.odd += [f"nodes.{name}.{key}: an unknown key" for key in node if key not in _OF_A_NODE]
    host, port = node["ip"], node.get("gateway_port")
    if port is not None and not (str(port).isascii() and str(port).isdigit()):
        config.odd.append(f"nodes.{name}.gateway_port: it is no port")
        port = None
    host = f"[{host}]" if ":" in host and not host.startswith("[") else host
    config.nodes[name] = host if port is None else f"{host}:{port}"


def _read_signature(config: Config, name: str, text: Any) -> None:
    if isinstance(text, str):
        config.signatures[name] = text
        config.names.setdefault(name, name)
    else:
        config.odd.append(f"signatures.{name}: it is no text")


def _named(config: Config, said: Mapping[str, Any], key: str) -> Iterator[tuple[str, Any]]:
    """Yield the entries of an object by their names; or those of a list, each a name or an object
    that has one.
    """
    value = said.get(key)
    if value is None:
        return
    if isinstance(value, dict):
        entries = list(value.items())
    elif isinstance(value, list):
        entries = [
            (one.get("name"), one) if isinstance(one, dict) else (one, None) for one in value
        ]
    else:
        config.odd.append(f"{key}: it is neither an object nor a list")
        return
    if len(entries) > _MOST:
        config.odd.append(f"{key}: only the first {_MOST:,} are looked at")
    for name, entry in entries[:_MOST]:
        if isinstance(name, str) and name:
            yield name, entry
        else:
            config.odd.append(f"{key}: one has no name")
