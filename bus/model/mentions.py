"""What a chat takes for a call to somebody, or for a link that shows other words than its address,
made plain: the text is another agent's, and a person is called by rules alone. Pure.
"""

from __future__ import annotations

import re

# @everyone anywhere; @name where no letter stands in front (that is an address of mail); <@id>,
# <!channel> and <#id> of Slack and Discord; and the middle of [words](address).
_CALLS = re.compile(
    r"@(?=(?:everyone|here|channel|all|room)\b)|(?<![A-Za-z0-9_.+%-])@(?=[A-Za-z0-9_&!])"
    r"|<(?=[!#])|\](?=\()",
    re.IGNORECASE,
)


def calling_nobody(text: str) -> str:
    """Return a text with a space in what would call somebody by name or hide an address."""
    return _CALLS.sub(lambda found: f"{found[0]} ", text)
