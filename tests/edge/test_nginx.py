"""The shipped nginx file in front of the hub: who gets in, how much, and what is said to
the rest.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from .harness import CONF, ROOT, USER, Answer, Edge, basic, credential_line, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("nginx")]

KIB, MIB = 1024, 1024 * 1024
BURST = 300  # of limit_req in the shipped file
CONNECTIONS = 256  # of limit_conn there


def assert_shape(answer: Answer, status: int, code: str) -> None:
    """The product's error body, and the headers that every answer carries."""
    assert answer.status == status
    assert answer.headers["content-type"] == "application/json"
    body = answer.json
    assert body.pop("ok") is False
    assert body.pop("error") == code
    assert body.pop("docs") == f"/docs#{code}"
    assert body["message"] and body["hint"]
    assert set(body) == {"message", "hint"}
    assert answer.headers["strict-transport-security"] == "max-age=31536000"


def chunks(size: int) -> Iterator[bytes]:
    """A body whose length is not told beforehand."""
    for _ in range(size // (64 * KIB) + 1):
        yield b"x" * (64 * KIB)


# --- the credential -------------------------------------------------------------------------------


def test_the_right_credential_passes_both_checks(edge: Edge) -> None:
    posted = edge.post("through nginx")
    assert posted.status == 201
    assert edge.ask("GET", "/health").json["ok"] is True


@pytest.mark.parametrize(
    "auth",
    [
        {},
        basic("claude", "wrong"),
        basic("nobody", "edge-test-token"),
        {"Authorization": "Basic ?"},
    ],
    ids=["none", "wrong token", "unknown user", "not basic auth"],
)
@pytest.mark.parametrize("path", ["/health", "/post", "/messages", "/stream", "/nothing-here"])
def test_without_it_the_answer_is_401_and_asks_for_basic_auth(
    edge: Edge, path: str, auth: dict[str, str]
) -> None:
    answer = edge.ask("GET", path, auth=auth)
    assert_shape(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"].startswith("Basic realm=")


def test_a_line_taken_out_of_the_file_is_locked_out_at_once(whole: Edge) -> None:
    assert whole.ask("GET", "/health").status == 200
    (whole.dir / "credentials").write_text(credential_line("somebody-else", "x"))
    assert whole.ask("GET", "/health").status == 401


def test_the_hub_checks_the_credential_again(
    make_edge: Callable[..., Edge], hub_socket: Path
) -> None:
    edge = make_edge(hub_socket)
    with (edge.dir / "credentials").open("a") as file:
        file.write(credential_line("only-nginx-knows", "secret"))
    answer = edge.ask("GET", "/health", auth=basic("only-nginx-knows", "secret"))
    assert answer.status == 401
    assert answer.json["error"] == "unauthorized"


# --- what every answer carries --------------------------------------------------------------------


@pytest.mark.parametrize(
    "path, auth", [("/health", None), ("/health", {}), ("/robots.txt", {}), ("/no-such", None)]
)
def test_headers_are_there_once_on_every_kind_of_answer(
    edge: Edge, path: str, auth: dict[str, str] | None
) -> None:
    headers = edge.ask("GET", path, auth=auth).headers
    assert headers["strict-transport-security"] == "max-age=31536000"
    assert headers["x-robots-tag"] == "noindex, nofollow"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["server"] == "nginx"  # without its version


def test_robots_need_no_credential_to_be_told_to_stay_away(edge: Edge) -> None:
    answer = edge.ask("GET", "/robots.txt", auth={})
    assert (answer.status, answer.body) == (200, b"User-agent: *\nDisallow: /\n")


def test_errors_of_the_hub_pass_unchanged(edge: Edge) -> None:
    answer = edge.ask("POST", "/post", "{not json", {"Content-Type": "application/json"})
    assert answer.status == 400
    assert answer.json["error"] not in (
        "bad_request",
        "hub_unreachable",
    )  # it says what is wrong with the JSON
    assert edge.ask("GET", "/no-such-route").json["error"] == "no_such_route"


# --- how much -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path, kind, limit",
    [
        ("/post", "application/json", MIB),
        ("/post", "text/plain", MIB),
        ("/post", "text/plain; was=application/x-ndjson", MIB),
        ("/ack", "application/x-ndjson", MIB),
        ("/post", "application/x-ndjson", 8 * MIB),
        ("/post?from=a", "Application/X-NDJSON; charset=utf-8", 8 * MIB),
        ("/api/exec", "application/json", 16 * MIB),
        ("/api/file/write", "application/json", 16 * MIB),
        ("/api/file/read", "application/json", MIB),
        ("/api/exec/01", "application/json", MIB),
    ],
)
def test_one_byte_too_many_is_a_413_with_both_sizes(
    edge: Edge, path: str, kind: str, limit: int
) -> None:
    answer = edge.ask("POST", path, b"x" * (limit + 1), {"Content-Type": kind})
    assert_shape(answer, 413, "too_large")
    assert f"{limit + 1} bytes" in answer.json["message"]
    assert f" {limit} " in answer.json["message"]


def test_a_body_of_unknown_length_is_cut_off_at_the_same_size(edge: Edge) -> None:
    answer = edge.ask("POST", "/post", chunks(MIB), {"Content-Type": "text/plain"})
    assert_shape(answer, 413, "too_large")
    assert f" {MIB} bytes" in answer.json["message"]


def test_a_block_of_messages_may_be_larger_than_one_mebibyte(edge: Edge) -> None:
    lines = [
        json.dumps({"from": "edge-test", "body": f"{number} " + "x" * 60_000})
        for number in range(60)
    ]
    answer = edge.ask(
        "POST", "/post", "\n".join(lines) + "\n", {"Content-Type": "application/x-ndjson"}
    )
    assert answer.status in (200, 201)
    assert len(answer.body.splitlines()) == 60


def test_too_long_addresses_and_headers_are_named(edge: Edge) -> None:
    assert_shape(edge.ask("GET", "/health?q=" + "x" * 9000), 414, "too_large")
    assert_shape(edge.ask("GET", "/health", headers={"X-Long": "x" * 9000}), 431, "too_large")


# --- how often ------------------------------------------------------------------------------------


def ask_often(edge: Edge, count: int, source: str, auth: dict[str, str]) -> list[Answer]:
    """This many requests as fast as one connection carries them."""
    connection = edge.connect(source)
    try:
        return [edge.ask("GET", "/health", auth=auth, on=connection) for _ in range(count)]
    finally:
        connection.close()


def test_a_flood_of_wrong_passwords_is_stopped_and_meets_nobody_else(edge: Edge) -> None:
    flood = ask_often(edge, BURST * 3, "127.0.0.2", basic("claude", "guess"))
    assert {answer.status for answer in flood} == {401, 429}
    # The limit comes before the credential: with the right one that address is refused as well,
    # unread.
    refused = [
        answer
        for answer in ask_often(edge, 20, "127.0.0.2", edge.signed_in)
        if answer.status == 429
    ]
    assert refused
    assert_shape(refused[0], 429, "rate_limited")
    assert refused[0].headers["retry-after"] == "1"
    assert "www-authenticate" not in refused[0].headers
    assert {answer.status for answer in ask_often(edge, 50, "127.0.0.1", edge.signed_in)} == {200}


def test_the_right_credential_of_a_flooding_address_is_limited_too(edge: Edge) -> None:
    answers = ask_often(edge, BURST * 3, "127.0.0.3", edge.signed_in)
    assert {answer.status for answer in answers} == {200, 429}
    assert [answer.status for answer in answers[:BURST]] == [200] * BURST  # a burst is served


def test_open_requests_of_one_address_are_counted(edge: Edge) -> None:
    head = (
        "POST /post HTTP/1.1\r\nHost: bus\r\nContent-Length: 9\r\nAuthorization: "
        + edge.signed_in["Authorization"]
    )
    trust = ssl._create_unverified_context()
    held = []
    try:
        for _ in range(CONNECTIONS + 1):
            raw = socket.create_connection(("127.0.0.1", edge.https), 20, ("127.0.0.4", 0))
            held.append(trust.wrap_socket(raw))
            held[-1].sendall(f"{head}\r\n\r\n".encode())
        assert b"429 Too Many" in held[-1].recv(4096).splitlines()[0]
        assert edge.ask("GET", "/health").status == 200
    finally:
        for one in held:
            one.close()


def test_an_ipv6_network_counts_as_one_address(
    make_edge: Callable[..., Edge], hub_socket: Path
) -> None:
    edge = make_edge(hub_socket, http="set_real_ip_from 127.0.0.1; real_ip_header X-Test-Address;")
    connection = edge.connect()

    def statuses(address: Callable[[int], str]) -> set[int]:
        return {
            edge.ask(
                "GET",
                "/health",
                headers={"X-Test-Address": address(number)},
                auth={},
                on=connection,
            ).status
            for number in range(BURST * 3)
        }

    assert statuses(lambda number: f"2001:db8:1:1::{number:x}") == {401, 429}
    assert statuses(lambda number: f"2001:db8:2:{number:x}::1") == {401}
    connection.close()


# --- waiting --------------------------------------------------------------------------------------


def test_a_long_poll_is_answered_as_soon_as_a_message_comes(edge: Edge) -> None:
    newest = edge.post("before the poll").json["id"]
    waiting = edge.connect()
    waiting.request("GET", f"/messages?since={newest}&wait=60", headers=edge.signed_in)
    posted = edge.post("what the poll waits for").json
    found = json.loads(
        waiting.getresponse().read()
    )  # within the connection's time-out of 20 s, not after 60
    assert [message["id"] for message in found["messages"]] == [posted["id"]]
    waiting.close()


def test_a_stream_hands_out_each_message_while_it_stays_open(edge: Edge) -> None:
    newest = edge.post("before the stream").json["id"]
    connection = edge.connect()
    headers = {**edge.signed_in, "Accept": "text/event-stream"}
    connection.request("GET", f"/stream?since={newest}", headers=headers)
    stream = connection.getresponse()
    assert stream.status == 200
    for number in range(3):
        body = f"event {number}"
        edge.post(body)
        line = b""
        while body.encode() not in line:  # each read is bound by the connection's time-out
            line = stream.readline()
            assert line, "the stream ended"
    connection.close()


def test_it_is_never_the_hub_that_closes_an_idle_connection_first() -> None:
    upstream = CONF.read_text().split("upstream claude_bus_hub {")[1].split("}")[0]
    nginx_s = int(re.search(r"keepalive_timeout (\d+)s;", upstream)[1])
    hub_s = int(
        re.search(
            r"^keepalive = (\d+)",
            (ROOT / "bus" / "server" / "gunicorn_config.py").read_text(),
            re.MULTILINE,
        )[1]
    )
    assert hub_s > nginx_s


@pytest.mark.parametrize(
    "place, longest_silence_s",
    [
        ("/messages", 60),
        ("/inbox", 60),
        ("/stream", 2 * 15),
        ("= /api/exec", 3600 + 15),
        ("/api/", 60),
        ("= /api/file/write", 60),
    ],
)
def test_nginx_waits_longer_than_the_hub_may_be_silent(place: str, longest_silence_s: int) -> None:
    block = CONF.read_text().split(f"location {place} {{")[1].split("}")[0]
    timeout_s = int(block.split("proxy_read_timeout ")[1].split("s;")[0])
    assert timeout_s > longest_silence_s
    # What is read in /api/ may be large, and its reader slow: nginx holds that, not the hub.
    assert ("proxy_buffering off;" in block) is not place.startswith(("/api/", "= /api/file"))


# --- port 80, logs --------------------------------------------------------------------------------


def test_plain_http_leads_to_https_and_keeps_method_and_query(edge: Edge) -> None:
    connection = HTTPConnection("127.0.0.1", edge.http, timeout=20)
    answer = edge.ask(
        "POST", "/post?from=a", b"x", {"Host": "bus.example.org"}, auth={}, on=connection
    )
    assert (answer.status, answer.headers["location"]) == (
        308,
        "https://bus.example.org/post?from=a",
    )
    connection.close()


def test_certbot_finds_its_challenge_on_port_80(edge: Edge) -> None:
    challenge = edge.dir / "acme" / ".well-known" / "acme-challenge" / "token"
    challenge.parent.mkdir(parents=True)
    challenge.write_text("proof")
    connection = HTTPConnection("127.0.0.1", edge.http, timeout=20)
    answer = edge.ask("GET", "/.well-known/acme-challenge/token", auth={}, on=connection)
    assert (answer.status, answer.body) == (200, b"proof")
    connection.close()


def test_plain_http_on_the_tls_port_is_told_so(edge: Edge) -> None:
    connection = HTTPConnection("127.0.0.1", edge.https, timeout=20)
    assert_shape(edge.ask("GET", "/health", on=connection), 400, "bad_request")
    connection.close()


def test_old_tls_is_refused(edge: Edge) -> None:
    old = ssl._create_unverified_context()
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.deprecated_call():
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with (
        socket.create_connection(("127.0.0.1", edge.https), 20) as raw,
        pytest.raises(ssl.SSLError),
    ):
        old.wrap_socket(raw)


def test_logs_hold_no_text_and_no_credential(
    make_edge: Callable[..., Edge], hub_socket: Path, tmp_path: Path
) -> None:
    for behind in (hub_socket, tmp_path / "nobody-listens"):
        edge = make_edge(behind)
        edge.ask(
            "POST",
            "/post?from=a&body=canary-query",
            b"canary-body",
            {"Referer": "https://x/?canary-referer"},
        )
        edge.ask("GET", "/search?q=canary-search", auth=basic("canary-user", "canary-token"))
        edge.ask("POST", "/post?body=canary-large", b"x" * (MIB + 1))
        edge.ask("GET", "/health", headers={"User-Agent": 'agent"} \x1b[31m {"forged":1'})
        # nginx writes a line after its answer has gone out.
        wait_for(
            lambda edge=edge: edge.logs.count("\n") >= 4, edge.process, "four lines in the log"
        )
        lines = [
            json.loads(line) for line in edge.logs.splitlines()
        ]  # one object a line: nothing was forged
        assert [line["path"] for line in lines] == ["/post", "/search", "/post", "/health"]
        assert [line["user"] for line in lines] == ["claude", "", "", "claude"]
        assert "canary" not in edge.logs


# --- the hub is away ------------------------------------------------------------------------------


def test_without_a_hub_the_answer_is_a_502_that_says_retry(
    make_edge: Callable[..., Edge], tmp_path: Path
) -> None:
    edge = make_edge(tmp_path / "nobody-listens")
    for method, path in (
        ("GET", "/health"),
        ("POST", "/post"),
        ("GET", "/stream"),
        ("GET", "/messages?wait=60"),
    ):
        answer = edge.ask(method, path)
        assert_shape(answer, 502, "hub_unreachable")
        assert answer.headers["retry-after"] == "2"
    block = edge.ask("POST", "/post", b"{}\n", {"Content-Type": "application/x-ndjson"})
    assert_shape(block, 502, "hub_unreachable")
    assert edge.ask("GET", "/health", auth={}).status == 401  # and still no word to strangers


@pytest.mark.parametrize("size", [2 * MIB, 8 * MIB])
def test_what_nginx_says_itself_it_says_of_a_large_block_too(
    make_edge: Callable[..., Edge], tmp_path: Path, size: int
) -> None:
    """The limit is compared again on the way to the answer: a 413 in HTML would make a client give
    up for good.
    """
    edge = make_edge(tmp_path / "nobody.sock")
    as_block = {"Content-Type": "application/x-ndjson"}
    assert_shape(edge.ask("POST", "/post", b"x" * size, as_block), 502, "hub_unreachable")
    # nginx does not know this secret, and whom it would ask is away.
    assert_shape(
        edge.ask("POST", "/post", b"x" * size, as_block, auth=basic(USER, "wrong")),
        502,
        "hub_unreachable",
    )
    assert_shape(edge.ask("POST", "/post", b"x" * size, as_block, auth={}), 401, "unauthorized")


@pytest.mark.parametrize(
    "path, kind", [("/post", "application/x-ndjson"), ("/api/exec", "application/json")]
)
def test_a_wrong_secret_is_a_401_however_large_the_body_is(
    edge: Edge, path: str, kind: str
) -> None:
    answer = edge.ask(
        "POST", path, b"x" * 6 * MIB, {"Content-Type": kind}, auth=basic(USER, "wrong")
    )
    assert_shape(answer, 401, "unauthorized")


def test_a_large_body_on_port_80_is_led_to_https(edge: Edge) -> None:
    plain = HTTPConnection("127.0.0.1", edge.http, timeout=20)
    plain.request("POST", "/post", b"x" * 2 * MIB, {"Content-Type": "application/x-ndjson"})
    assert plain.getresponse().status == 308
    plain.close()


def test_without_a_credential_file_nobody_gets_in(whole: Edge) -> None:
    (whole.dir / "credentials").resolve().unlink()
    assert_shape(whole.ask("GET", "/health"), 403, "internal")
    assert whole.ask("GET", "/health", auth={}).status == 401
