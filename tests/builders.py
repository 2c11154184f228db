"""One function that builds a URL for each route, however many hubs the tests make.

Werkzeug compiles two for each route of each app: with eighty routes that is half of what it costs
to make a hub. They know nothing of the app that they are made for, so hubs may share them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from werkzeug.routing import Rule

_compile = Rule._compile_builder
_known: dict[tuple[Any, ...], Callable[..., tuple[str, str]]] = {}


def _compile_once(rule: Rule, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
    """Return what Werkzeug has compiled for a rule with the same parts and defaults."""
    key = (rule.rule, *rule._trace, repr(rule.defaults), append_unknown)
    if key not in _known:
        _known[key] = _compile(rule, append_unknown)
    return _known[key]


def share() -> None:
    """Let all apps of this process share them from now on."""
    Rule._compile_builder = _compile_once  # type: ignore[method-assign]
