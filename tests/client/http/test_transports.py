"""The two ways behind the client's one seam: what each sends, whom it trusts, and that they cannot
be told apart.
"""

from __future__ import annotations

import http.server
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from busclient import Bus, NotTrusted, Patience, Refused, Settings, Unauthorized, Unreachable
from busclient._http import light_transport, plain, requests_transport
from tests.client.conftest import QUICK
from tests.conftest import PASSWORD, USER, free_port, wait_until

pytestmark = pytest.mark.usefixtures("home", "way")


class Server(http.server.ThreadingHTTPServer):
    """Answers everything with `answer`, and keeps what came: the connection, the first line, the
    headers and the body.
    """

    daemon_threads = True

    def __init__(self, host: str = "127.0.0.1") -> None:
        super().__init__((host, 0), _Handler)
        self.seen: list[tuple[Any, str, dict[str, str], bytes]] = []
        self.status, self.headers, self.closes = 200, {"Content-Type": "application/json"}, False
        self.tunnels_to: tuple[str, int] | None = None
        self.closed = 0  # connections
        self.thread = threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )
        self.thread.start()

    def stop(self) -> None:
        self.shutdown()
        self.thread.join()
        self.server_close()

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        self.closed += 1

    def handle_error(self, *_: Any) -> None:
        """A client that hangs up is no news."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.seen.append((self.client_address, self.requestline, dict(self.headers), body))
        self.send_response(self.server.status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "14")
        self.end_headers()
        self.wfile.write(b'{"fine": true}')
        self.close_connection = self.server.closes

    do_GET = do_POST = do_DELETE = answer

    def do_CONNECT(self) -> None:
        self.server.seen.append((self.client_address, self.requestline, dict(self.headers), b""))
        if self.server.tunnels_to is None:
            self.send_error(403)
            return
        with socket.create_connection(self.server.tunnels_to) as far:
            self.send_response(200)
            self.end_headers()
            back = threading.Thread(target=_copy, args=(far, self.connection), daemon=True)
            back.start()
            _copy(self.connection, far)
            back.join(5)
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Nothing."""


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.stop()


def at(url: str, **kwargs: Any) -> Bus:
    return Bus(
        Settings(url=url, user=USER, password=PASSWORD, name="bob"), **{"patience": QUICK, **kwargs}
    )


def url_of(server: Server, scheme: str = "http") -> str:
    host, port = server.server_address[:2]
    return f"{scheme}://{host!s}:{port}"


def test_the_library_has_requests_and_the_command_has_not(way: str) -> None:
    """So that no test of this file says twice the same."""
    transport = at("http://127.0.0.1:1")._calls.transport()
    kinds = {
        "requests": requests_transport.RequestsTransport,
        "light": light_transport.LightTransport,
    }
    assert type(transport) is kinds[way]


@pytest.mark.parametrize(
    ("method", "given", "line", "headers", "body"),
    [
        ("GET", {"params": {"q": "a b&é", "none": None, "n": 3, "tag": ["x", "y"]}},
         "GET /at/x?q=a+b%26%C3%A9&n=3&tag=x&tag=y HTTP/1.1", {}, b""),
        ("POST", {"json": {"name": "é"}}, "POST /at/x HTTP/1.1",
         {"Content-Type": "application/json", "Content-Length": "18"}, b'{"name": "\\u00e9"}'),
        ("POST", {"data": b"a\nb", "headers": {"Content-Type": "application/x-ndjson",
                                               "Accept": "text/plain"}},
         "POST /at/x HTTP/1.1", {"Content-Type": "application/x-ndjson", "Accept": "text/plain",
                                 "Content-Length": "3"}, b"a\nb"),
        ("POST", {"json": {}}, "POST /at/x HTTP/1.1", {"Content-Length": "2"}, b"{}"),
        ("DELETE", {}, "DELETE /at/x HTTP/1.1", {"Content-Length": "0"}, b""),
    ],
)  # fmt: skip
def test_both_send_the_same(
    server: Server,
    method: str,
    given: dict[str, Any],
    line: str,
    headers: dict[str, str],
    body: bytes,
) -> None:
    with at(url_of(server) + "/at/") as bus:
        assert bus._calls.json(method, "/x", **given) == {"fine": True}
    ((_, said, sent, data),) = server.seen
    host, port = server.server_address[:2]
    expected = {
        "Authorization": plain.basic(bus.settings),
        "Host": f"{host!s}:{port}",
        "Accept": "application/json",
    }
    assert (said, data) == (line, body)
    assert {name: sent.get(name) for name in {**expected, **headers}} == {**expected, **headers}
    assert sent["User-Agent"].startswith("claude-bus/")


def test_netrc_has_no_say(server: Server, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / ".netrc").write_text("default login other password other\n")
    (home / ".netrc").chmod(0o600)
    monkeypatch.setenv("http_proxy", url_of(server))  # so that the environment has a say at all
    with at("http://hub.invalid") as bus:
        bus._calls.json("GET", "/x")
    assert server.seen[0][2]["Authorization"] == plain.basic(bus.settings)


def test_what_is_no_json_is_refused_and_not_sent(server: Server) -> None:
    with at(url_of(server)) as bus, pytest.raises(Refused, match="cannot be written as JSON"):
        bus._calls.json("POST", "/x", json={"n": float("nan")})
    assert server.seen == []


def test_a_connection_is_used_again(server: Server) -> None:
    with at(url_of(server)) as bus:
        for _ in range(3):
            bus._calls.json("POST", "/x", json={})
    assert len({address for address, *_ in server.seen}) == 1


def test_one_that_the_hub_has_closed_is_not(server: Server) -> None:
    server.closes = True
    with at(url_of(server), patience=Patience(attempts=1)) as bus:
        for number in range(3):
            wait_until(lambda: server.closed == number)  # noqa: B023
            bus._calls.json("POST", "/x", json={})
    assert len({address for address, *_ in server.seen}) == 3


def test_a_call_can_be_made_while_an_answer_is_on_its_way(server: Server) -> None:
    with at(url_of(server)) as bus:
        chunks = bus._calls.stream("/x", idle_s=5)
        first = next(chunks)
        assert bus._calls.json("GET", "/y") == {"fine": True}
        assert first + b"".join(chunks) == b'{"fine": true}'


def test_an_answer_that_is_left_early_spoils_no_later_call(server: Server) -> None:
    with at(url_of(server)) as bus:
        chunks = bus._calls.stream("/x", idle_s=5)
        next(chunks)
        chunks.close()  # type: ignore[attr-defined]
        assert bus._calls.json("GET", "/y") == {"fine": True}


def test_a_redirect_is_told_and_not_followed(server: Server) -> None:
    server.status, server.headers = 302, {"Location": "/elsewhere"}
    with at(url_of(server)) as bus, pytest.raises(Unreachable, match="leads on to '/elsewhere'"):
        bus._calls.json("GET", "/x")
    assert len(server.seen) == 1


def test_an_error_of_the_hub_keeps_its_code_and_its_wait(server: Server) -> None:
    server.status, server.headers = 401, {"Retry-After": "7"}
    with at(url_of(server)) as bus, pytest.raises(Unauthorized) as caught:
        bus._calls.json("GET", "/x")
    assert (caught.value.status, caught.value.retry_after_s) == (401, 7)


# -- proxies -------------------------------------------------------------------------------------


def test_a_proxy_is_asked_with_its_credential(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", url_of(server).replace("//", "//me:a%20b@"))
    with at("http://hub.invalid:8787") as bus:
        assert bus._calls.json("GET", "/x", params={"n": 1}) == {"fine": True}
    ((_, line, headers, _),) = server.seen
    assert line == "GET http://hub.invalid:8787/x?n=1 HTTP/1.1"
    assert (headers["Host"], headers["Proxy-Authorization"]) == (
        "hub.invalid:8787",
        "Basic bWU6YSBi",
    )
    assert headers["Authorization"] == plain.basic(bus.settings)


def test_a_proxy_that_is_away_or_says_no_is_told(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", f"127.0.0.1:{free_port()}")
    with at("https://hub.invalid") as bus, pytest.raises(Unreachable, match="refused"):
        bus._calls.json("GET", "/x")
    monkeypatch.setenv("https_proxy", url_of(server))
    with (
        at("https://hub.invalid") as bus,
        pytest.raises(Unreachable, match="Tunnel connection failed: 403"),
    ):
        bus._calls.json("GET", "/x")
    assert {line.rpartition(" ")[0] for _, line, *_ in server.seen} == {"CONNECT hub.invalid:443"}


# -- TLS -----------------------------------------------------------------------------------------

# An address that is not taken for this machine's own: the environment has a say
THERE = "127.0.0.2"


@pytest.fixture
def certified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], tuple[Server, str]]]:
    """Makes a server with a certificate of its own for a subject such as `IP:127.0.0.2`; gives it
    and the certificate.
    """
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    servers: list[Server] = []

    def make(subject: str) -> tuple[Server, str]:
        key, cert = tmp_path / f"{len(servers)}.key", tmp_path / f"{len(servers)}.pem"
        line = [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-noenc",
            "-days",
            "2",
        ]
        line += [
            "-subj",
            "/CN=hub",
            "-addext",
            f"subjectAltName={subject}",
            "-keyout",
            str(key),
            "-out",
            str(cert),
        ]
        subprocess.run(line, check=True, capture_output=True)
        server = Server(THERE)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        servers.append(server)
        return server, str(cert)

    yield make
    for server in servers:
        server.stop()


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_certificate_is_trusted_when_the_environment_says_so(
    certified: Callable[..., tuple[Server, str]], monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    server, certificate = certified(f"IP:{THERE}")
    with at(url_of(server, "https")) as bus, pytest.raises(NotTrusted, match="self-signed"):
        bus._calls.json("GET", "/x")
    monkeypatch.setenv(variable, certificate)
    with at(url_of(server, "https")) as bus:
        assert bus._calls.json("GET", "/x") == {"fine": True}
        assert b"".join(bus._calls.stream("/x", idle_s=5)) == b'{"fine": true}'
    assert len(server.seen) == 2


def test_a_certificate_for_another_name_is_not_trusted(
    certified: Callable[..., tuple[Server, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    other, certificate = certified("IP:127.0.0.9,DNS:bus.example.org")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certificate)
    with (
        at(url_of(other, "https")) as bus,
        pytest.raises(NotTrusted, match=r"not valid for|doesn't match"),
    ):
        bus._calls.json("GET", "/x")
    assert other.seen == []


def test_nobody_is_trusted_by_a_bundle_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such/bundle.pem")
    with at(f"https://{THERE}:1") as bus, pytest.raises(OSError, match="bundle"):
        bus._calls.json("GET", "/x")


def test_tls_goes_through_a_proxy_unread(
    certified: Callable[..., tuple[Server, str]], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, certificate = certified("DNS:hub.invalid")
    host, port = hub.server_address[:2]
    server.tunnels_to = (str(host), port)
    monkeypatch.setenv("https_proxy", url_of(server).replace("//", "//me:pw@"))
    monkeypatch.setenv("CURL_CA_BUNDLE", certificate)
    with at("https://hub.invalid") as bus:
        for _ in range(2):
            assert bus._calls.json("GET", "/x") == {"fine": True}
    ((_, line, headers, _),) = server.seen
    assert (line.rpartition(" ")[0], headers["Proxy-Authorization"]) == (
        "CONNECT hub.invalid:443",
        "Basic bWU6cHc=",
    )
    assert "Authorization" not in headers  # ours is for the hub
    assert [seen[1] for seen in hub.seen] == ["GET /x HTTP/1.1"] * 2
    assert {seen[2].get("Proxy-Authorization") for seen in hub.seen} == {None}


def test_a_plain_server_at_an_https_address_is_told(server: Server) -> None:
    with at(url_of(server, "https")) as bus, pytest.raises(Unreachable, match="does not speak TLS"):
        bus._calls.json("GET", "/x")
