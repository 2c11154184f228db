"""What has the form of a secret does not leave the hub."""

from __future__ import annotations

import time

import pytest

from bus.model.masking import MASK, masked

KEY = (
    "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk\nAAAA\n-----END OPENSSH PRIVATE KEY-----"
)


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("Authorization: Bearer abc.def-123456", "abc.def-123456"),
        ('{"authorization": "Basic dXNlcjpwYXNz"}', "dXNlcjpwYXNz"),
        ("postgres://app:s3cr3t@db/x", "s3cr3t"),
        ("key AKIAIOSFODNN7EXAMPLE here", "AKIAIOSFODNN7EXAMPLE"),
        ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "wJalrXUtnFEMI"),
        ("ghp_" + "a1" * 18, "a1a1"),
        ("xoxb-123456789012-abcdefghijkl", "abcdefghijkl"),
        ("sk-ant-api03-" + "Z" * 40, "ZZZZ"),
        ("110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw", "AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "eyJzdWIiOiIxIn0"),
        (f"x\n{KEY}\ny", "b3BlbnNzaC1rZXk"),
        (KEY[:60], "b3Blbn"),
        ("export DB_PASSWORD=hunter22", "hunter22"),
        ("BUS_PASS='correct-horse'", "correct-horse"),
        ('"api_key": "abcd1234"', "abcd1234"),
        ("mysql --password=hunter22 -e x", "hunter22"),
        ("bus join https://x web1 --invite 4FQK.9f2c51d0c3a1e2b4", "9f2c51d0c3a1e2b4"),
        ("curl -u me:hunter22 https://x", "hunter22"),
        ('["curl", "-u", "me:hunter22", "https://x"]', "hunter22"),
        ('["curl", "--user", "me:hunter22", "https://x"]', "hunter22"),
        ('["mysql", "--password", "hunter22"]', "hunter22"),
        ("mysql --db-password hunter22", "hunter22"),
        ("PASSWORD='correct horse battery'", "horse"),
        ('"password": "correct horse battery"', "battery"),
        ("root:$6$salt$abcdefghijklmnop:1:", "abcdefghijklmnop"),
        ("whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "MfKQ9r8G"),
    ],
)
def test_a_secret_is_masked(text: str, secret: str) -> None:
    said = masked(text)
    assert secret not in said
    assert MASK in said


@pytest.mark.parametrize(
    "text",
    [
        "the build is green",
        "see https://example.org/a:b@c",
        "12:30 deploy of web1",
        "a token bucket of 20",
        "password reset mail was sent",
    ],
)
def test_other_text_stays(text: str) -> None:
    assert masked(text) == text


def test_our_own_secrets_are_masked_wherever_they_stand() -> None:
    assert masked("url=https://x/T0K3N-abc?y", ["T0K3N-abc"]) == f"url=https://x/{MASK}?y"


@pytest.mark.parametrize(
    "text",
    [
        *("a", "-", "://", "token", "-----BEGIN PRIVATE KEY", "eyJ-", "eyJaaaaaaaa-", "eyJ"),
        *("a://b:", "--a-", "-u a", "xoxb-", "12345678:", "authorization: ", "password "),
    ],
)
def test_a_text_of_somebody_who_means_harm_takes_no_longer_than_another(text: str) -> None:
    for long in (text * (200_000 // len(text)), text * 20 + " " * 200_000):
        began = time.thread_time()
        assert masked(long)
        assert time.thread_time() - began < 1
