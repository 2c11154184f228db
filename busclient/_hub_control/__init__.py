"""A hub on this machine that nobody had to start: `bus up`, `bus down`, and starting it at the
first call.

The hub runs `python -m bus serve` with this Python, in the background, on a loopback address; its
data is under `Places.hub_data`. `hub.json` in the state folder says what runs:

    {"url":"http://127.0.0.1:8787","pid":4711,"born":"…","wanted":true}

`born` is when the process began, as the system tells it: process numbers are used again, and only
ours is ever ended. Settings are written last, when a hub has taken their credential. `wanted` turns
false at `bus down`: from then on only `bus up` or BUS_AUTOSTART=1 starts it. A lock lets ten
sessions that come in the same second start one hub.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from busclient._errors import BadAnswer, BusError, LocalTrouble, SettingsError, Unauthorized
from busclient._files import write_private
from busclient._http.calls import Calls, Patience, new_key
from busclient._hub_control.needs import check_packages, check_url
from busclient._hub_control.process import is_hub, listens
from busclient._older_fleet import LOCAL_URL
from busclient._places import Places
from busclient._processes import born_of
from busclient._settings import (
    SHARED_USER,
    Settings,
    check_free,
    read_env_file,
    write_env,
)

if TYPE_CHECKING:
    import subprocess

_START_S = 20.0
_STOP_S = 45.0  # the hub lets requests end for 30 s
_QUICK = Patience(connect_s=2, read_s=3, total_s=4, attempts=1)


def find_settings(places: Places) -> Settings:
    """Return the settings; with BUS_AUTOSTART=1 and none at all, those of a hub that is started
    now.

    Raises SettingsError.
    """
    try:
        return Settings.find(places=places)
    except SettingsError:
        wants = os.environ.get("BUS_AUTOSTART") or read_env_file(places.env_file).get(
            "BUS_AUTOSTART"
        )
        if wants != "1":
            raise
        settings, is_new = up(places)
        if is_new:
            _say_started(settings)
        return settings


def is_wanted(settings: Settings, places: Places) -> bool:
    """Return whether a hub may be started here when none answers at the settings' address."""
    if not settings.is_loopback:
        return False
    known = _known(places)
    return settings.autostart or (bool(known.get("wanted")) and known.get("url") == settings.url)


def was_ended(settings: Settings, places: Places) -> bool:
    """Return whether `bus down` has ended the hub at the settings' address."""
    known = _known(places)
    return known.get("wanted") is False and known.get("url") == settings.url


def start_once(settings: Settings, places: Places) -> bool:
    """Start the hub unless it answers by now; says so on standard error. Raises LocalTrouble."""
    if _start(settings, places):
        _say_started(settings)
    return True


def _say_started(settings: Settings) -> None:
    print(
        f"bus: started a hub on this machine at {settings.url} (`bus down` ends it)",
        file=sys.stderr,
    )


def up(places: Places, url: str = LOCAL_URL) -> tuple[Settings, bool]:
    """See that a hub runs here and that the settings lead to it; returns them, and whether it was
    started now.

    Without settings it writes `~/.secrets/claude-bus.env` with a new credential, once the hub has
    taken that. Raises SettingsError when the settings name a hub elsewhere, LocalTrouble, and what
    else the hub says of the credential.
    """
    check_packages()
    check_url(url)
    with _lock(places):
        try:
            settings, is_new = Settings.find(places=places), False
        except SettingsError:
            if "BUS_URL" in read_env_file(places.env_file):
                raise  # there are some, and they are wrong
            # What is started must be where the environment leads, else two would be.
            settings, is_new = _new_settings(os.environ.get("BUS_URL") or url), True
            check_url(settings.url)
        if url not in (LOCAL_URL, settings.url):
            raise SettingsError(
                f"The settings name the hub {settings.url}, not {url}.",
                hint="`bus leave` forgets it.",
            )
        if not settings.is_loopback:
            raise SettingsError(
                f"The settings name the hub {settings.url}, which is not on this machine.",
                hint="`bus leave` forgets it.",
            )
        if not is_new:
            return settings, _start_locked(settings, places)
        return _made(settings, places), True


def _made(settings: Settings, places: Places) -> Settings:
    """Start a hub for settings that are written down once it has taken their credential."""
    check_free(places.env_file)
    if listens(settings.url):
        raise _left_behind(settings) if _runs_at(settings.url, places) else _taken(settings)
    _start_locked(settings, places)
    values = {"BUS_URL": settings.url, "BUS_USER": settings.user, "BUS_PASS": settings.password}
    try:
        write_env(places.env_file, values, note="written by `bus up`")
    except BusError:
        _down_locked(places)
        raise
    return Settings.find(places=places)


def is_running(places: Places) -> bool:
    """Return whether the hub that `bus up` started runs."""
    known = _known(places)
    pid = known.get("pid")
    return isinstance(pid, int) and is_hub(pid, known.get("born"), places)


def _runs_at(url: str, places: Places) -> bool:
    return _known(places).get("url") == url and is_running(places)


def _left_behind(settings: Settings) -> SettingsError:
    return SettingsError(
        f"The hub that `bus up` started runs at {settings.url}, but the settings that led to it are"
        " gone.",
        hint="`bus down`, then `bus up`: that writes new ones. Messages stay.",
    )


def _taken(settings: Settings) -> BusError:
    """Why no hub of ours can be started where something answers already."""
    try:
        _prove(settings)
    except Unauthorized:
        return SettingsError(
            f"A hub answers at {settings.url} already, and this machine has no credential for it.",
            hint=(
                f"`bus join {settings.url}` with a password of that hub's, or `bus up --url` with"
                " another port."
            ),
        )
    except BusError as error:
        return LocalTrouble(
            f"Something that is not the hub answers at {settings.url}: {error.message}",
            hint="Start the hub at another port: bus up --url http://127.0.0.1:8788",
        )
    return LocalTrouble(f"What answers at {settings.url} takes any password: it is not the hub.")


def _prove(settings: Settings) -> None:
    """Make a call with the credential; raises BusError, Unauthorized where a hub does not
    know it.
    """
    calls = Calls(settings, None, _QUICK, time.sleep, light=True)
    try:
        reply = calls.json("GET", "/messages", params={"limit": 1})
    finally:
        calls.close()
    if not isinstance(reply.get("messages"), list):
        raise BadAnswer("The answer holds no messages.")


def down(places: Places) -> bool:
    """End the hub that `bus up` started, and start it no more; returns whether one ran.

    Raises LocalTrouble.
    """
    with _lock(places):
        return _down_locked(places)


def _down_locked(places: Places) -> bool:
    known = _known(places)
    pid, born = known.get("pid"), known.get("born")
    if known:
        _remember(places, {**known, "wanted": False, "pid": None, "born": None})
    if not isinstance(pid, int) or not is_hub(pid, born, places):
        return False
    os.kill(pid, signal.SIGTERM)
    _wait_for(
        lambda: not is_hub(pid, born, places),
        _STOP_S,
        f"The hub (process {pid}) did not end within {_STOP_S:g} s.",
    )
    return True


def _start(settings: Settings, places: Places) -> bool:
    """Start the hub at the settings' address, unless it runs there; on return it takes the
    credential. Raises BusError.
    """
    with _lock(places):
        return _start_locked(settings, places)


def _start_locked(settings: Settings, places: Places) -> bool:
    if listens(settings.url):
        try:
            _prove(settings)
        except BadAnswer:
            raise _taken(settings) from None
        _remember(
            places,
            {"pid": None, "born": None, **_known(places), "url": settings.url, "wanted": True},
        )
        return False
    if _answers_soon(settings, places):
        return False
    if is_running(places):
        raise LocalTrouble(
            f"The hub of this machine runs at {_known(places).get('url')}: none is started at"
            f" {settings.url} beside it, on the same data.",
            hint="`bus down` ends it. Or unset BUS_URL, if that leads elsewhere.",
        )
    check_packages()
    process = _spawn(settings, places)
    _remember(
        places,
        {"url": settings.url, "pid": process.pid, "born": born_of(process.pid), "wanted": True},
    )
    log = places.state / "hub.log"

    def answers() -> bool:
        if process.poll() is not None:
            raise LocalTrouble(
                f"The hub ended at once: {_last_line(log)}", hint=f"{log} says more."
            )
        if not listens(settings.url):
            return False
        _prove(settings)
        return True

    _wait_for(answers, _START_S, f"The hub did not answer within {_START_S:g} s; {log} says more.")
    return True


def _answers_soon(settings: Settings, places: Places) -> bool:
    """Return whether a hub that is on its way answers; raises BusError.

    Whoever has started it need not have waited for it: a hook has no time for that.
    """
    if not _runs_at(settings.url, places):
        return False
    _wait_for(
        lambda: listens(settings.url) or not _runs_at(settings.url, places),
        _START_S,
        f"The hub did not answer within {_START_S:g} s; {places.state / 'hub.log'} says more.",
    )
    if not listens(settings.url):
        return False
    _prove(settings)
    return True


def _spawn(settings: Settings, places: Places) -> subprocess.Popen[bytes]:
    """Return the hub in the background: its own session, its output in `hub.log`, nothing of ours
    kept open.
    """
    import subprocess  # noqa: PLC0415  what a call to a hub that runs need not load

    address = urlsplit(settings.url)
    host = f"[{address.hostname}]" if ":" in (address.hostname or "") else address.hostname
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("BUS_") or name in _HUB_SETTINGS
    }
    environ |= {
        "BUS_DATA_DIR": os.environ.get("BUS_DATA_DIR") or str(places.hub_data),
        "BUS_LISTEN": f"{host}:{address.port or 80}",
        "BUS_USER": settings.user,
        "BUS_PASS": settings.password,
        "PYTHONPATH": os.pathsep.join(
            [str(_hub_root()), *filter(None, [os.environ.get("PYTHONPATH")])]
        ),
    }
    places.hub_data.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(places.make_state() / "hub.log", "ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "bus", "serve"],
            cwd=_hub_root(), env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip


_HUB_SETTINGS = (
    "BUS_WORKERS",
    "BUS_THREADS",
    "BUS_FSYNC",
    "BUS_SEGMENT_MAX_BYTES",
    "BUS_SEGMENT_MAX_AGE_S",
    "BUS_MAX_WAITING",
    "BUS_PEERS_COMPAT",
    "BUS_PEERS_LISTEN",
    "BUS_PEERS_TOKENLESS",
    "BUS_PEERS_ALLOW",
)


def _hub_root() -> Path:
    from importlib.util import find_spec  # noqa: PLC0415

    spec = find_spec("bus")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parents[1]


def _new_settings(url: str) -> Settings:
    return Settings(
        url=url,
        user=SHARED_USER,
        password=new_key() + new_key(),
        ssh_host=os.environ.get("BUS_SSH_HOST") or None,
    )


def _lock(places: Places) -> Any:
    from filelock import FileLock  # noqa: PLC0415

    try:
        return FileLock(places.make_state() / "hub.lock", timeout=_START_S + _STOP_S)
    except OSError as error:
        raise LocalTrouble(f"{places.state} cannot be made: {error.strerror or error}.") from error


def _known(places: Places) -> dict[str, Any]:
    try:
        known = json.loads((places.state / "hub.json").read_text())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _remember(places: Places, facts: Mapping[str, Any]) -> None:
    write_private(places.state / "hub.json", json.dumps(facts) + "\n")


def _wait_for(condition: Any, within_s: float, otherwise: str) -> None:
    ends = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > ends:
            raise LocalTrouble(otherwise)
        time.sleep(0.05)


def _last_line(path: Path) -> str:
    try:
        lines = path.read_text(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return lines[-1][:300] if lines else "it said nothing"
