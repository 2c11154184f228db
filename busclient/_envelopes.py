"""Tags by which Claude Code tells a model what comes from whom, made harmless in others' text.

The hub's twin is in `bus.model.envelopes`; tests compare them.
"""

from __future__ import annotations

import re
import unicodedata

# Beginnings of their names, as Claude Code 2.1 has them in its own lists; letters and digits only,
# as what stands between them differs.
_NAMED = re.compile(
    r"(?:^|:)(?:[^\w:]|_)*(?:bus-|system|task-?notif|teammate|agent-?message|cross-?session|channel|human|user|assistant"
    r"|function|invoke|tool|command-|local-?command|persisted|antml|bash-?(?:input|std)|sandbox"
    r"|remote-?review|coordinator|fetched-|untrusted-|slack-|mcp-|(?:pre|post)-?tool"
    r"|ide-?(?:selection|opened)|total-?tokens|fork-|new-?diagnostics|voice-?call|artifact-"
    r"|cowritten-|repl-?output|daemon-?std|(?:tick|terminal|browser)(?![a-z0-9]))"
)
# Any other name of several words, where it is a whole tag
_WORDS = re.compile(r"[a-z][a-z0-9]+(?:-[a-z0-9]+)+-?/?")
_END = re.compile(r"\s*/?>|\s+[\w-]+\s*=")
# What looks like `<`; U+226E is one with a stroke
_ANGLES = "<\uff1c\ufe64\u226e\u2039\u02c2\u276e\u2770\u27e8\u2329\u3008\u1438\u29fc"
_ANGLE = re.compile(f"([{_ANGLES}])")
_TOKEN = re.compile(r"[\W_]*([^\s>\uff1e]*)")
# Small letters of other scripts that look like ours
_ALIKE = str.maketrans(
    "аеорсухіѕјһԁԛԝкмтнвгпԍӏαβεικνορτυχγημωςσɑɡıłøđɩʀʏᴀʙᴄᴅᴇɢʜɪᴊᴋʟᴍɴᴏᴘᴛᴜᴠᴡᴢꜱսօհոցԼա",
    "aeopcyxisjhdqwkmthbrnglabeikvoptuxynuwsoagilodiryabcdeghijklmnoptuvwzsuohnglw",
)


def defused(text: str) -> str:
    """Return harmless text in which no tag can pass for an envelope: its `<` is `&lt;`.

    Whatever looks like the name of an envelope counts, with a prefix or with signs before it, in
    letters of another script, or with marks on them.
    """
    before, *parts = _ANGLE.split(text)
    if not parts:
        return text
    found = [before]
    for angle, part in zip(parts[::2], parts[1::2], strict=True):
        found += ["&lt;" if _is_envelope(part, before[-1:]) else angle, part]
        before = part
    return "".join(found)


def _is_envelope(text: str, before: str) -> bool:
    """Return whether what follows a `<` is the name of an envelope."""
    token = _TOKEN.match(text)
    if token is None or not token[1]:
        return False
    letters = _plain(token[1])
    if _NAMED.search(letters):
        return True
    word = re.match(r"\w*", letters)
    assert word is not None
    if not word[0].isascii() and re.search("[a-z]", word[0]):  # two scripts in one name
        return True
    if before.isalnum() or (before and before in "_)]"):  # `List<my-type>`
        return False
    return _WORDS.fullmatch(letters) is not None and _END.match(text, token.end()) is not None


def _plain(name: str) -> str:
    """Return a name in small letters of ours, without marks, its words with `-` between them."""
    if not name.isascii():
        kinds = ((letter, unicodedata.category(letter)) for letter in _decomposed(name))
        name = "".join(
            "-" if kind == "Pd" else letter
            for letter, kind in kinds
            if kind[0] != "M" and kind != "Cf" and letter != "\ufffd"
        )
        name = _decomposed(name.casefold()).translate(_ALIKE)
    return name.casefold().replace("_", "-")


def _decomposed(text: str) -> str:
    return unicodedata.normalize("NFKD", text)
