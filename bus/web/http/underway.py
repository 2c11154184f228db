"""Each request counts against its credential's quota, from the moment the credential is proven to
the end of its answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from werkzeug.wsgi import ClosingIterator

from bus.live.quotas import Quotas

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

KEY = "bus.under_way"


class UnderWay:
    """A request's place in the count of its credential; it has none before the credential is
    proven.
    """

    def __init__(self, quotas: Quotas) -> None:
        self._quotas = quotas
        self._place: int | None = None
        self._is_counted = False

    def enter(self, name: str) -> None:
        """Its credential is this one's; raises OverQuota."""
        if not self._is_counted:
            self._place = self._quotas.enter(name)
            self._is_counted = True

    def leave(self) -> None:
        """Its answer has ended."""
        place, self._place = self._place, None
        self._quotas.leave(place)


class Counted:
    """A WSGI application in front of another one."""

    def __init__(self, inner: WSGIApplication, quotas: Quotas) -> None:
        self._inner, self._quotas = inner, quotas

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ[KEY] = under_way = UnderWay(self._quotas)
        try:
            answer = self._inner(environ, start_response)
        except BaseException:
            under_way.leave()
            raise
        if isinstance(answer, list):
            under_way.leave()
            return answer
        return ClosingIterator(answer, [under_way.leave])
