"""What a `Bus` has a noun of its own for: roles, questions, briefs, actions and others."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from busclient._connection import Connection

if TYPE_CHECKING:
    from busclient._agents.actions import Actions
    from busclient._agents.asks import Asks
    from busclient._agents.briefs import Briefs
    from busclient._agents.expectations import Expectations
    from busclient._agents.roles import Roles
    from busclient._agents.webhooks import Webhooks


class Nouns:
    """The nouns of a `Bus`, each loaded at its first use."""

    _sleep: Callable[[float], None]
    _connection: Connection

    @property
    def roles(self) -> Roles:
        """Who has which role, and my claims."""
        from busclient._agents.roles import Roles  # noqa: PLC0415

        return Roles(self._connection)

    @property
    def asks(self) -> Asks:
        """Questions that stay open until they are answered: `bus.asks.ask("Deploy?", to="db1")`."""
        from busclient._agents.asks import Asks  # noqa: PLC0415

        return Asks(self._connection, self._sleep)

    @property
    def briefs(self) -> Briefs:
        """Messages with front matter: `bus.briefs.post(text, front={"to": "db1"})`."""
        from busclient._agents.briefs import Briefs  # noqa: PLC0415

        return Briefs(self._connection)

    @property
    def actions(self) -> Actions:
        """What is to be done, and by whom: `bus.actions.mine()`."""
        from busclient._agents.actions import Actions  # noqa: PLC0415

        return Actions(self._connection)

    @property
    def expectations(self) -> Expectations:
        """Who is to be heard how often: `bus.expectations.expect("web1", every_s=900)`."""
        from busclient._agents.expectations import Expectations  # noqa: PLC0415

        return Expectations(self._connection)

    @property
    def webhooks(self) -> Webhooks:
        """Where the hub sends my mail by itself: `bus.webhooks.add("https://…")`."""
        from busclient._agents.webhooks import Webhooks  # noqa: PLC0415

        return Webhooks(self._connection)
