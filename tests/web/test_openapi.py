"""The OpenAPI document tells the truth about the routes: compared with them, validated, and thrown
at them.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis.config import SchemathesisConfig

from bus.credentials import Credentials, Register
from bus.errors import family
from bus.model.caller import ADMIN, MEMBER
from bus.model.harmless import harmless
from bus.web import openapi
from tests.conftest import BASIC, PASSWORD, Caller, basic
from tests.fleet import Fleet

SEED = 1611
EXAMPLES = 15  # generated requests for each operation, besides the enumerated ones
# Well-formed requests may name a message that does not exist, or repeat a key with other content.
CHECKS = {
    "positive_data_acceptance": {"expected-statuses": ["2xx", "403", "404", "409", "422"]},
    "negative_data_rejection": {
        "expected-statuses": ["400", "401", "403", "404", "409", "413", "415", "422"]
    },
}
# The text forms of a message cannot be generated from a schema: test_post_forms.py has them as
# tables.
WITH_FILES = ("/files", "multipart/form-data")  # the generator makes fields, not files
WRITTEN_BY_HAND = ("text/plain", "text/markdown", "application/x-ndjson")


@schemathesis.serializer("application/x-ndjson", "text/markdown")
def as_it_is(context: Any, value: Any) -> bytes:
    return str(value).encode()


_LABELS = st.text(
    st.characters(exclude_categories=("C", "Z"), exclude_characters=","), min_size=1, max_size=64
)
_NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True).filter(
    lambda name: name not in ("any", "all")
)
for name, strategy in {
    "bus-tag": _LABELS,
    "bus-label": _LABELS,
    "bus-signature": _LABELS.filter(
        lambda text: harmless(text) == text and len(text.encode()) <= 200
    ),
    "bus-words": _LABELS,
    "bus-tags": st.lists(_LABELS, max_size=16).map(",".join),
    "bus-names": st.lists(_NAMES, min_size=1, max_size=64).map(",".join),
    "bus-path": st.lists(_NAMES.filter(lambda name: len(name) < 32), min_size=1, max_size=8).map(
        "/".join
    ),
    "bus-file-name": _NAMES,
    "bus-bytes": st.binary(max_size=64).map(lambda data: base64.b64encode(data).decode()),
    "bus-json": st.dictionaries(_LABELS, st.integers() | _LABELS, max_size=4).map(json.dumps),
}.items():
    schemathesis.openapi.format(name, strategy)


def test_the_document_is_valid_openapi_3_1() -> None:
    document = openapi.document()
    assert document["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(document).validate()


def test_the_document_is_what_the_hub_serves(bus: Caller) -> None:
    assert bus.get("/openapi.json").json == json.loads(json.dumps(openapi.document()))


def test_the_document_has_the_real_routes_and_methods_and_no_other(bus: Caller) -> None:
    real = {
        (re.sub(r"<(?:[^:>]+:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in bus.app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    described = {
        (path, method) for path, item in openapi.document()["paths"].items() for method in item
    }
    assert described == real


def test_the_document_has_every_error_code() -> None:
    codes = openapi.document()["components"]["schemas"]["Error"]["properties"]["error"]["enum"]
    assert codes == sorted({kind.code for kind in family()})


# Where the name of a machine's credential is taken if none is given.
OWN_NAME = (
    *(
        "/post",
        "/ack",
        "/ack/{ref}",
        "/star/{ref}",
        "/inbox",
        "/hooks/claude-code",
        "/mcp",
        "/agents",
        "/messages/{ref}/retract",
        "/topics/{topic}/subscribe",
        "/topics/{topic}/unsubscribe",
        "/roles/{role_name}/claim",
        "/roles/{role_name}/release",
        *("/ask", "/ask/{ref}/answer", "/ask/{ref}/decline", "/ask/{ref}/withdraw"),
        *("/leases", "/leases/check", "/files"),
        *("/briefs", "/actions", "/actions/{ref}", "/actions/{ref}/claim"),
        *("/digest", "/signature", "/import"),
    ),
)
CONFIG = {
    "seed": SEED,
    "checks": CHECKS,
    "generation": {"allow-x00": False, "deterministic": True, "database": "none"},
}
routes = schemathesis.openapi.from_dict(
    openapi.document(), config=SchemathesisConfig.from_dict(CONFIG)
)


class Door:
    """A WSGI application that the tests are collected with; each test puts its hub behind it."""

    hub: Any = None

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        return self.hub(environ, start_response)  # type: ignore[no-any-return]


routes.app = door = Door()


@pytest.fixture
def described(bus: Caller) -> None:
    """The routes are those of a hub with two messages, where streams and long polls end at once."""
    first = bus.say("first", to="any", tags=["a"])
    bus.say("second", in_reply_to=first["id"])
    bus.hub.waiting.is_closing = lambda: True
    door.hub = bus.app


@pytest.fixture
def described_calls(fleet: Fleet) -> None:
    """The routes are those of a hub whose service that runs commands is there: it alone decides."""
    fleet.hub.waiting.is_closing = lambda: True
    door.hub = fleet.app


def credential_for(case: schemathesis.Case) -> str:
    """The shared user where the request says who speaks, else a machine; an admin or a fresh invite
    where only they may.

    Made anew each time: the request before may have rotated or revoked it.
    """
    credentials: Credentials = door.hub.extensions["credentials"]
    if case.path == "/api/join":
        register = Register(credentials, lambda *change: None)
        made = register.invite(f"machine-{len(credentials.users())}", MEMBER, 3600, "test")
        short, _, secret = made.code.partition(".")
        return basic(f"invite~{short}", secret)
    admins = (
        "/api/credentials",
        "/api/invites",
        "/api/permit",
        "/api/approvals",
        "/notices",
        "/metrics",
    )
    if case.path.startswith(admins):
        credentials.add("boss", PASSWORD, ADMIN)
        return basic("boss", PASSWORD)
    if case.path.startswith("/api/"):
        # A member without any permission: whatever is generated must not run on the machine that
        # tests it.
        credentials.add("machine", PASSWORD, MEMBER)
        return basic("machine", PASSWORD)
    if case.path.startswith(("/webhooks", "/expect")):
        credentials.add("machine", PASSWORD, MEMBER)
        return basic("machine", PASSWORD)
    speaks = case.query if case.method == "GET" else case.body
    names = set(speaks) if isinstance(speaks, dict) else set()
    names |= set(case.query or ()) - {"name"} if case.path == "/files" else set()
    if case.path in OWN_NAME and not names & {"from", "reader", "name", "holder"}:
        credentials.add("machine", PASSWORD, MEMBER)
        return basic("machine", PASSWORD)
    return BASIC


@routes.exclude(path_regex="^/api/").parametrize()
@settings(
    max_examples=EXAMPLES, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck)
)
def test_generated_requests_get_what_the_document_says(
    case: schemathesis.Case, described: None
) -> None:
    check(case)


@pytest.mark.slow
@routes.include(path_regex="^/api/").parametrize()
@settings(
    max_examples=EXAMPLES, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck)
)
def test_generated_calls_get_what_the_document_says(
    case: schemathesis.Case, described_calls: None
) -> None:
    check(case)


def check(case: schemathesis.Case) -> None:
    """Send a generated request and compare the answer with the document."""
    if case.media_type in WRITTEN_BY_HAND or (case.path, case.media_type) == WITH_FILES:
        return
    if isinstance(case.body, dict) and "client_id" in case.body:
        case.headers.pop("Idempotency-Key", None)  # one or the other
    if case.path == "/files" and "client_id" in (case.query or {}):
        case.headers.pop("Idempotency-Key", None)
    is_upload = case.path == "/uploads" and isinstance(case.body, dict)
    size = case.body.get("size") if is_upload else None
    if type(size) in (int, float) and 0 <= size < 1 << 50 and size == int(size):
        case.body["size"] = min(size, 1_000)  # the cap is a setting
    if case.path == "/agents" and "scope" in case.query:  # it needs a place
        case.query.update({"host": "h", "cwd": "/srv", "repo": "github.com/a/b"})
    if case.path == "/agents" and isinstance(case.body, dict) and "session" in case.body:
        case.body.pop("name", None)
    if case.path in ("/messages", "/briefs") and case.query.get("starred"):
        case.query.pop("wait", None)  # a star is nothing to wait for
        case.query.setdefault("reader", "alice")  # whose: the shared user has to say it
    if case.path == "/api/permissions/check" and case.query.get("action") != "exec":
        case.query.pop("command", None)  # which no schema of single parameters can say
    if case.path == "/api/permit" and isinstance(case.body, dict):
        # The generator mixes the forms of the body, which the document has apart.
        wrong = ("actions",) if "commands" in case.body else ()
        for field in wrong if case.body.get("allow") is True else ("commands", "approval"):
            case.body.pop(field, None)
        for field in ("expires_in_s",) if case.body.get("allow") is None else ():
            case.body.pop(field, None)
    if (
        case.path == "/api/invites"
        and isinstance(case.body, dict)
        and case.body.get("replace") is case.body.get("admin") is True
    ):
        case.body.pop("admin")
    case.call_and_validate(headers={"Authorization": credential_for(case)})
