"""What calls nobody by name and hides no address."""

from __future__ import annotations

import pytest

from bus.model.mentions import calling_nobody


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("@everyone look", "@ everyone look"),
        ("x@here", "x@ here"),
        ("ask @ChasWatkins, @jaz", "ask @ ChasWatkins, @ jaz"),
        ("(@chas)", "(@ chas)"),
        ("<@U123> <!channel> <#C1> <@&77>", "<@ U123> < !channel> < #C1> <@ &77>"),
        ("[yes](https://evil.example)", "[yes] (https://evil.example)"),
    ],
)
def test_nobody_is_called(text: str, said: str) -> None:
    assert calling_nobody(text) == said


@pytest.mark.parametrize("text", ["me@example.org", "a @ b", "a[0] (b)", "x<y", "f(a)[b]", "5 @"])
def test_other_text_stays(text: str) -> None:
    assert calling_nobody(text) == text
