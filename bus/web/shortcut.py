"""The one hot road, a post in plain JSON, without Flask's contexts and routing.

They cost as much as checking, encoding and committing the message together
(docs/decisions/0002-worker-class.md). Everything it calls is what the route calls; any other form
of a post takes the route.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from bus.credentials import Credentials
from bus.errors import BusError
from bus.hub.hub import Hub
from bus.model.caller import Taken
from bus.model.strict_json import Rest, load_object
from bus.web.api import posting
from bus.web.http import auth, body, errors, metering
from bus.web.http.refusals import Refusals
from bus.web.http.replies import Reply

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class Shortcut:
    """A WSGI application in front of another one."""

    def __init__(
        self,
        otherwise: WSGIApplication,
        hub: Hub,
        credentials: Credentials,
        taken: Taken,
        refusals: Refusals,
        rest: Rest,
    ) -> None:
        self._otherwise, self._hub, self._credentials = otherwise, hub, credentials
        self._taken, self._refusals, self._rest = taken, refusals, rest

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if not _is_plain_post(environ):
            return self._otherwise(environ, start_response)
        environ[metering.ROUTE] = "/post"
        try:
            caller = auth.caller(environ, self._credentials, self._refusals)
            auth.check_role(caller, posting.MAY_POST, environ)
            fields = load_object(body.body_of(environ), rest=self._rest)
            answer = posting.save(self._hub, caller, fields, environ, self._taken)
        except BusError as error:
            return errors.error_reply(error)(environ, start_response)
        except Exception as error:
            return errors.crash_reply(error, environ)(environ, start_response)
        size = ("Content-Length", str(len(answer)))
        start_response("201 CREATED", [("Content-Type", "application/json"), size, *Reply.ALWAYS])
        return [answer]


def _is_plain_post(environ: WSGIEnvironment) -> bool:
    return bool(
        environ["PATH_INFO"] == "/post"
        and environ["REQUEST_METHOD"] == "POST"
        and environ.get("CONTENT_TYPE") == "application/json"
        and not environ.get("QUERY_STRING")
    )
