"""Who may call: basic auth on everything, and nothing changed on behalf of a foreign web page."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator

import pytest

from bus.config import Config
from bus.credentials import Credentials
from tests.conftest import PASSWORD, USER, Caller, basic
from tests.web.conftest import new_hub, refusal

ROUTES = ["/", "/health", "/robots.txt", "/docs", "/openapi.json", "/messages", "/messages/1",
          "/messages/1/receipts",
          "/inbox?reader=bob", "/search?q=a", "/stream", "/no/such/route"]  # fmt: skip


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    """One hub for all who are sent away; in the end nothing of theirs may be in its log."""
    for bus in new_hub(tmp_path_factory.mktemp("guarded")):
        yield bus
        kinds = {record["kind"] for _, record in bus.hub.log.read()}
        assert kinds <= {"refused"}


BAD_CREDENTIALS = {
    "none": None,
    "empty": "",
    "scheme only": "Basic",
    "no base64": "Basic !!!",
    "not ASCII": "Basic \xe9\xe9\xe9\xe9",
    "not UTF-8": "Basic " + base64.b64encode(b"\xff:\xff").decode(),
    "no colon": "Basic " + base64.b64encode(b"claude").decode(),
    "no password": basic(USER, ""),
    "wrong password": basic(USER, PASSWORD + "x"),
    "unknown user": basic("mallory", PASSWORD),
    "nobody": basic("", ""),
    "user with space": basic(USER + " ", PASSWORD),
    "other case": basic(USER.upper(), PASSWORD),
    "another scheme": basic(USER, PASSWORD).replace("Basic", "Bearer"),
    "two credentials": f"{basic(USER, PASSWORD)}, {basic(USER, PASSWORD)}",
}


@pytest.mark.parametrize("header", BAD_CREDENTIALS.values(), ids=BAD_CREDENTIALS.keys())
@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("GET", path) for path in ROUTES),
        ("POST", "/post"),
        ("POST", "/ack/1"),
        ("OPTIONS", "/post"),
    ],
)
def test_every_call_needs_a_good_credential(
    guarded: Caller, method: str, path: str, header: str | None
) -> None:
    headers = {} if header is None else {"Authorization": header}
    form = (
        {"json": {"from": "alice", "body": "x"} if path == "/post" else {"reader": "bob"}}
        if method == "POST"
        else {}
    )
    reply = guarded.client.open(path, method=method, headers=headers, **form)
    refusal(reply, 401, "unauthorized")
    assert reply.headers["WWW-Authenticate"] == 'Basic realm="claude-bus", charset="UTF-8"'


def test_unknown_user_and_wrong_password_get_the_same_answer(bus: Caller) -> None:
    wrong, unknown = (
        bus.client.get("/health", headers={"Authorization": basic(user, password)})
        for user, password in ((USER, "wrong"), ("mallory", "wrong"))
    )
    assert wrong.get_data() == unknown.get_data()
    assert list(wrong.headers) == list(unknown.headers)


@pytest.mark.parametrize("scheme", ["basic", "BASIC", "Basic"])
def test_the_scheme_is_known_in_any_case(bus: Caller, scheme: str) -> None:
    header = basic(USER, PASSWORD).replace("Basic", scheme)
    assert bus.client.get("/health", headers={"Authorization": header}).status_code == 200


@pytest.mark.parametrize(
    "header",
    ["X-Remote-User", "Remote-User", "X-Forwarded-User", "X-Real-IP", "Forwarded", "Script-Name"],
)
def test_no_identity_header_is_believed(bus: Caller, header: str) -> None:
    refusal(bus.client.get("/health", headers={header: USER}), 401, "unauthorized")
    reply = bus.post("/post", json={"from": "alice", "body": "x"}, headers={header: "admin"})
    assert reply.json["auth"] == USER


def test_a_credential_changes_without_a_restart(bus: Caller, config: Config) -> None:
    assert bus.get("/health").status_code == 200
    credentials = Credentials(config.credentials_file)
    credentials.add(USER, "new: secret é")
    refusal(bus.get("/health"), 401, "unauthorized")
    assert (
        bus.client.get(
            "/health", headers={"Authorization": basic(USER, "new: secret é")}
        ).status_code
        == 200
    )
    credentials.add("second", "s")
    assert (
        bus.client.get("/health", headers={"Authorization": basic("second", "s")}).status_code
        == 200
    )


def test_without_its_file_nobody_may_call(bus: Caller, config: Config) -> None:
    assert bus.get("/health").status_code == 200
    os.rename(config.credentials_file, config.data_dir / "elsewhere")
    refusal(bus.get("/health"), 401, "unauthorized")
    os.rename(config.data_dir / "elsewhere", config.credentials_file)
    assert bus.get("/health").status_code == 200


FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": "http://["},
    {"Origin": "http://localhost.evil.example"},
    {"Origin": "http://localhost:8080"},
    {"Origin": "http://user@localhost"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "nonsense"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
    {"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"},
]
CHANGES = [
    ("POST", "/post"),
    ("POST", "/post?from=a&body=b"),
    ("POST", "/ack"),
    ("POST", "/ack/1"),
    ("PUT", "/post"),
    ("DELETE", "/messages/1"),
]


@pytest.mark.parametrize("headers", FOREIGN, ids=repr)
@pytest.mark.parametrize(("method", "path"), CHANGES)
def test_a_foreign_page_changes_nothing(
    guarded: Caller, method: str, path: str, headers: dict[str, str]
) -> None:
    form = (
        {}
        if "?" in path
        else {
            "json": (
                {"from": "alice", "body": "x"} if path == "/post" else {"reader": "bob", "ids": [1]}
            )
        }
    )
    refusal(guarded.call(method, path, headers=headers, **form), 403, "foreign_origin")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://localhost"},
        {"Origin": "https://localhost"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost"},
        {"Sec-Fetch-Site": "none"},
    ],
    ids=repr,
)
def test_curl_and_the_hubs_own_pages_may_post(bus: Caller, headers: dict[str, str]) -> None:
    assert (
        bus.post("/post", json={"from": "alice", "body": "x"}, headers=headers).status_code == 201
    )


def test_a_foreign_page_may_be_answered_a_read_but_is_given_no_permission_to_see_it(
    bus: Caller,
) -> None:
    reply = bus.get("/messages", headers=FOREIGN[0])
    assert reply.status_code == 200
    assert not any(name.lower().startswith("access-control") for name, _ in reply.headers)
