"""Which proxy the environment names, and when that takes the transport of requests."""

from __future__ import annotations

import pytest
from requests.utils import get_environ_proxies, select_proxy

from busclient import Settings
from busclient._http import calls, light_transport, requests_transport
from busclient._http.proxies import proxy_of

pytestmark = pytest.mark.usefixtures("home")

PROXIES = [
    {},
    {"http_proxy": "http://p:1"},
    {"HTTP_PROXY": "p:1", "https_proxy": "http://q:2"},
    {"ALL_PROXY": "http://all:1"},
    {"all_proxy": "socks5://s:1", "http_proxy": ""},
    {"http_proxy": "http://p:1", "no_proxy": "*"},
    {"http_proxy": "http://p:1", "no_proxy": "example.org"},
    {"http_proxy": "http://p:1", "no_proxy": ".example.org, other"},
    {"http_proxy": "http://p:1", "no_proxy": "bus.example.org:80,example.com"},
    {"http_proxy": "http://p:1", "NO_PROXY": "bus.example.org:8080"},
    {"http_proxy": "http://p:1", "no_proxy": "10.0.0.0/8"},
    {"http_proxy": "http://p:1", "no_proxy": "10.1.2.3"},
    {"http_proxy": "http://p:1", "no_proxy": "10.1.0.0/33,10.1/16,0.0.0.0/0"},
    {"http_proxy": "http://p:1", "no_proxy": "2.3"},
]


@pytest.mark.parametrize("environ", PROXIES, ids=str)
@pytest.mark.parametrize(
    "url",
    [
        "http://bus.example.org",
        "http://bus.example.org:8080",
        "https://bus.example.org",
        "http://10.1.2.3:8787",
        "http://hub",
    ],
)
def test_the_proxy_is_the_one_that_requests_takes(
    environ: dict[str, str], url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    theirs = select_proxy(url, get_environ_proxies(url))
    theirs = f"http://{theirs}" if theirs and "://" not in theirs else theirs
    assert proxy_of(Settings(url=url, password="x", name="bob")) == theirs


@pytest.mark.parametrize(
    ("url", "environ", "suits"),
    [
        (
            "http://127.0.0.1:8787",
            {"http_proxy": "socks5://s:1"},
            True,
        ),  # not asked for this machine itself
        ("http://[::1]:8787/bus", {}, True),
        ("https://bus.example.org/a/b-c", {"https_proxy": "http://p:1"}, True),
        ("http://bus.example.org", {"http_proxy": "https://p:1"}, False),
        ("http://bus.example.org", {"http_proxy": "socks5h://s:1"}, False),
        ("http://büs.example.org", {}, False),
        ("http://bus.example.org/é", {}, False),
        ("http://bus.example.org/a/../b", {}, False),
    ],
)
def test_what_the_light_one_cannot_do_goes_by_requests(
    url: str, environ: dict[str, str], suits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    settings = Settings(url=url, password="x", name="bob")
    assert light_transport.suits(settings) is suits
    kind = light_transport.LightTransport if suits else requests_transport.RequestsTransport
    assert type(calls.transport_for(settings, light=True)) is kind
