"""Known forms of secrets in a text, made unreadable before the text leaves the hub. Pure.

It lowers the risk that a secret is told by accident. It finds forms, not every secret: who must not
see what commands print must not be told of them at all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

MASK = "[masked]"
_SHORTEST = 6  # characters of a secret that is looked for as it is


def _web_token(found: re.Match[str]) -> str:
    return found[0] if found[1] is None else MASK


# Each takes time in proportion to the text, whatever is in it: a text of somebody who means harm
# must not hold up the notices of all others. So what may repeat is bounded, or is taken as a whole.
_FORMS: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    # Private keys, also where the end was cut off.
    (
        re.compile(
            r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"
            r".*?(?:-----END (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----|\Z)",
            re.DOTALL,
        ),
        MASK,
    ),
    # Authorization: Bearer x, Basic x; and a bearer token alone.
    (
        re.compile(
            r"(?i)\b(authorization[\"']?\s*[:=]\s*[\"']?(?:bearer|basic|token)?\s*)"
            r"[^\s\"',;]{4,}"
        ),
        rf"\1{MASK}",
    ),
    (re.compile(r"(?i)\b(bearer\s+)[a-z0-9._~+/=-]{8,}"), rf"\1{MASK}"),
    # https://user:password@host
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]{0,20}://[^\s/:@]{0,200}:)[^\s/@]+(?=@)"), rf"\1{MASK}"),
    # AWS: the id of a key, and its secret where it is called that.
    (re.compile(r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b"), MASK),
    # GitHub, GitLab, Slack, Anthropic, OpenAI, Google, Stripe, npm, webhooks of Standard Webhooks.
    (re.compile(r"\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_[A-Za-z0-9_]{20,}"), MASK),
    (re.compile(r"\bglpat-[A-Za-z0-9_-]{16,}|\bnpm_[A-Za-z0-9]{30,}"), MASK),
    (re.compile(r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}|\bxapp-[A-Za-z0-9-]{10,}"), MASK),
    (re.compile(r"\bsk-[A-Za-z0-9_-]{20,}|\b[sr]k_(?:live|test)_[A-Za-z0-9]{10,}"), MASK),
    (re.compile(r"\bAIza[A-Za-z0-9_-]{30,}"), MASK),
    (re.compile(r"\bwhsec_[A-Za-z0-9+/=]{16,}"), MASK),
    # A bot of Telegram; a JSON Web Token.
    (re.compile(r"\b[0-9]{6,12}:[A-Za-z0-9_-]{30,}"), MASK),
    (
        re.compile(r"\beyJ[A-Za-z0-9_-]{8,}(\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*)?"),
        _web_token,
    ),
    # What is called a secret: PASSWORD=x, "api_key": "x", --token x, BUS_PASS=x, curl -u name:x;
    # and the same as a list of words: "--token", "x".
    (
        re.compile(
            r"(?i)((?:passw(?:or)?d|passphrase|bus_pass|secret|api[_-]?key|"
            r"access[_-]?key|private[_-]?key|token|credentials?)[a-z0-9_-]{0,32}"
            r"[\"']?(?:\s{0,64}[:=]\s{0,64}|\s{1,64}(?=[\"'])|(?<=d)\s{1,64}is\s{1,64})[\"']?)"
            r"(?:(?<=\")[^\"\n]{3,}|(?<=')[^'\n]{3,}|[^\s\"',;&]{3,})"
        ),
        rf"\1{MASK}",
    ),
    (
        re.compile(
            r"(?i)((?:--[a-z0-9-]{0,32}|-)(?:password|passwd|passphrase|token|secret|api-?key|invite)"
            r"(?:[ =]|[\"'],\s{0,8}[\"']))[^\s\"']{3,}"
        ),
        rf"\1{MASK}",
    ),
    (
        re.compile(
            r"((?:\s-u\s{0,64}[\"']?|[\"'](?:-u|--user)[\"'],\s{0,8}[\"']|\s--user[ =][\"']?)"
            r"[^\s:\"']{1,64}:)[^\s\"']{3,}"
        ),
        rf"\1{MASK}",
    ),
    # A line of a file of passwords: a hash in crypt's form.
    (re.compile(r"\$(?:2[aby]|5|6|y|apr1|argon2id?)\$[^\s:\"']{10,}"), MASK),
)


def masked(text: str, secrets: Iterable[str] = ()) -> str:
    """Return a text without what has a known form of a secret, and without these very secrets."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _SHORTEST:
            text = text.replace(secret, MASK)
    for pattern, said in _FORMS:
        text = pattern.sub(said, text)
    return text
