"""What reaches the hub: an echo application behind the shipped nginx file says which headers came
through.
"""

from __future__ import annotations

import socket
import ssl
import sys
from collections.abc import Callable, Iterator

import pytest

from .harness import CONF, Edge, answers, basic, running, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("headers")]

ECHO = """
import json

asked = {}

def app(environ, start_response):
    seen = {key: str(value) for key, value in environ.items()
            if "wsgi." not in key and "gunicorn." not in key}
    seen["scheme"] = environ["wsgi.url_scheme"]
    seen["length of body"] = len(environ["wsgi.input"].read())
    if environ["PATH_INFO"] == "/api/me":
        asked.update(seen)
    elif asked:
        seen["asked"] = dict(asked)
        asked.clear()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(seen).encode()]
"""

# Each name is one that some proxy, framework or server takes for the caller's identity, address,
# scheme or path. fmt: off
SPOOFED = [
    "Remote-User",
    "X-Remote-User",
    "X-Remote-Addr",
    "X-Authenticated-User",
    "X-Auth-Request-User",
    "X-WebAuth-User",
    "X-Client-IP",
    "Client-IP",
    "True-Client-IP",
    "Forwarded",
    "X-Forwarded",
    "X-Forwarded-By",
    "X-Forwarded-Client-Cert",
    "X-Forwarded-Email",
    "X-Forwarded-For",
    "X-Forwarded-Groups",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Forwarded-Preferred-Username",
    "X-Forwarded-Prefix",
    "X-Forwarded-Proto",
    "X-Forwarded-Protocol",
    "X-Forwarded-Scheme",
    "X-Forwarded-Server",
    "X-Forwarded-Ssl",
    "X-Forwarded-Uri",
    "X-Forwarded-User",
    "X-HTTP-Method-Override",
    "X-Original-URL",
    "X-Real-IP",
    "X-Rewrite-URL",
    "X-Script-Name",
    "Script-Name",
    "Path-Info",
    "Proxy",
]
# fmt: on


@pytest.fixture(scope="module")
def echo(
    make_edge: Callable[..., Edge], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Edge]:
    folder = tmp_path_factory.mktemp("echo")
    (folder / "echo.py").write_text(ECHO)
    path = folder / "echo.sock"
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "--no-control-socket",
        "-b",
        f"unix:{path}",
        "echo:app",
    ]
    with running(command, folder / "echo.log", cwd=folder) as process:
        wait_for(
            lambda: path.exists() and answers(str(path)), process, f"echo, see {folder}/echo.log"
        )
        yield make_edge(path)


@pytest.mark.parametrize(
    "spell",
    [str, str.upper, lambda name: name.replace("-", "_")],
    ids=["as is", "upper", "underscore"],
)
@pytest.mark.parametrize("name", SPOOFED)
def test_no_word_about_identity_from_outside_reaches_the_hub(
    echo: Edge, name: str, spell: Callable[[str], str]
) -> None:
    value = "https" if "Proto" in name else "evil-1"
    answer = echo.ask("GET", "/health", headers={spell(name): value})
    assert answer.status == 200, answer.body
    seen = answer.json
    assert "evil-1" not in answer.body.decode()
    assert f"HTTP_{name.upper().replace('-', '_')}" not in seen or name in (
        "X-Real-IP",
        "X-Forwarded-For",
        "X-Forwarded-Proto",
    )
    assert (seen["SCRIPT_NAME"], seen["PATH_INFO"], seen["scheme"]) == ("", "/health", "https")


def test_the_list_above_is_the_list_of_the_shipped_file() -> None:
    emptied = {
        line.split()[1]
        for line in CONF.read_text().splitlines()
        if line.strip().startswith("proxy_set_header")
    }
    assert emptied - {"Host", "Connection", "Authorization", "Content-Length"} == set(SPOOFED)


def test_the_question_to_the_hub_has_the_credential_and_nothing_else_of_the_request(
    echo: Edge,
) -> None:
    headers = {
        "Content-Type": "application/json",
        "Origin": "https://elsewhere",
        **dict.fromkeys(SPOOFED, "evil-1"),
    }
    seen = echo.ask(
        "POST",
        "/post?from=a",
        b"x" * 2_000_000,
        headers,
        auth=basic("claude", "not the one nginx knows"),
    ).json
    assert seen["error"] == "too_large"  # the body is none of nginx's to take
    seen = echo.ask(
        "POST",
        "/post?from=a",
        b"x" * 500_000,
        headers,
        auth=basic("claude", "not the one nginx knows"),
    ).json
    assert seen["length of body"] == 500_000
    question = seen["asked"]
    told = {name for name in question if name.startswith("HTTP_")}
    assert told == {"HTTP_HOST", "HTTP_AUTHORIZATION", "HTTP_X_REAL_IP"}
    assert "evil-1" not in str(question)
    assert (question["REQUEST_METHOD"], question["PATH_INFO"], question["QUERY_STRING"]) == (
        "GET",
        "/api/me",
        "",
    )
    assert question["length of body"] == 0
    assert "asked" not in echo.ask("POST", "/post", b"x").json  # what nginx knows costs no question


def test_nginx_tells_who_is_calling_by_address_only(echo: Edge) -> None:
    headers = {"X-Real-IP": "9.9.9.9", "X-Forwarded-For": "9.9.9.9", "X-Forwarded-Proto": "http"}
    seen = echo.ask("GET", "/health", headers=headers).json
    assert (seen["HTTP_X_REAL_IP"], seen["HTTP_X_FORWARDED_FOR"]) == ("127.0.0.1", "127.0.0.1")
    assert seen["HTTP_X_FORWARDED_PROTO"] == "https"
    assert "REMOTE_USER" not in seen


def test_what_the_hub_needs_does_reach_it(echo: Edge) -> None:
    headers = {
        "Host": "bus.example.org:8443",
        "Origin": "https://elsewhere",
        "Sec-Fetch-Site": "cross-site",
        "Idempotency-Key": "k1",
        "Last-Event-ID": "7",
        "Accept": "text/plain",
    }
    seen = echo.ask("GET", "/messages/1?since=a%2Fb&to=c", headers=headers).json
    assert {name: seen["HTTP_" + name.upper().replace("-", "_")] for name in headers} == headers
    assert seen["HTTP_AUTHORIZATION"] == echo.signed_in["Authorization"]
    assert (seen["PATH_INFO"], seen["QUERY_STRING"]) == ("/messages/1", "since=a%2Fb&to=c")


@pytest.mark.parametrize("path", ["/post", "/post?from=a&tags=x%2Cy"])
def test_a_block_reaches_the_same_route_as_a_message(echo: Edge, path: str) -> None:
    body = b"{}\n" * (1024 * 1024)
    seen = echo.ask("POST", path, body, {"Content-Type": "application/x-ndjson"}).json
    assert seen["PATH_INFO"] == "/post"
    assert seen["QUERY_STRING"] == path.partition("?")[2]
    assert (seen["CONTENT_TYPE"], seen["length of body"]) == ("application/x-ndjson", len(body))


@pytest.mark.parametrize(
    "path",
    [
        "/.claude-bus/error",
        "/.claude-bus/block",
        "/.claude-bus/who",
        "/.claude-bus/no",
        "/.claude-bus/unsure",
    ],
)
def test_the_internal_places_cannot_be_asked_for(echo: Edge, path: str) -> None:
    answer = echo.ask("GET", path)
    assert (answer.status, answer.json["error"]) == (404, "no_such_route")


@pytest.mark.parametrize(
    "extra, status",
    [
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400),
        ("Content-Length: 5\r\nContent-Length: 6\r\n", 400),
        ("Transfer-Encoding: xchunked\r\n", 501),
        ("X-Nul: a\0b\r\n", 400),
    ],
)
def test_requests_that_two_servers_could_read_differently_are_refused(
    echo: Edge, extra: str, status: int
) -> None:
    raw = socket.create_connection(("127.0.0.1", echo.https), 20)
    with ssl._create_unverified_context().wrap_socket(raw) as tls:
        head = (
            "POST /post HTTP/1.1\r\nHost: bus\r\nAuthorization:"
            f" {echo.signed_in['Authorization']}\r\n"
        )
        tls.sendall(f"{head}{extra}\r\n0\r\n\r\n".encode())
        answer = b""
        while more := tls.recv(65536):
            answer += more
        assert answer.split(b" ", 2)[1] == str(status).encode()
        assert answer.count(b"HTTP/1.1 ") == 1
        assert b'"error":"bad_request"' in answer
