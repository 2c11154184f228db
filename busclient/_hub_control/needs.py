"""What a hub on this machine needs: its packages, and an address that leads nowhere else."""

from __future__ import annotations

import os

from busclient._errors import LocalTrouble, SettingsError
from busclient._settings import Settings

_NEEDED = ("bus", "flask", "gunicorn", "gevent")


def check_packages() -> None:
    """Raises LocalTrouble when the hub cannot run with this Python."""
    if os.name == "nt":
        raise LocalTrouble(
            "The hub does not run on Windows.",
            hint="Run it in WSL or on another machine, and `bus join` it.",
        )
    from importlib.util import find_spec  # noqa: PLC0415

    lacking = [name for name in _NEEDED if find_spec(name) is None]
    if lacking:
        raise LocalTrouble(
            f"The hub's packages are not installed here ({', '.join(lacking)}).",
            hint="In a checkout of claude-bus: pip install '.[hub]' (or pipx install '.[hub]').",
        )


def check_url(url: str) -> None:
    """Raise SettingsError for an address at which no hub can be started."""
    settings = Settings(url=url, password="", name="me")
    if not url.startswith("http://") or not settings.is_loopback:
        raise SettingsError(
            f"A hub cannot be started at {url}: it speaks plain HTTP, on this machine alone.",
            hint=(
                "For example --url http://127.0.0.1:8788. docs/deploy.md tells of a hub for other"
                " machines, with TLS."
            ),
        )
