"""Patterns of paths: what one matches, and whether two overlap, against a model that tries."""

from __future__ import annotations

import re
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.model.file_leases import beginning, beginnings
from bus.model.globs import BadPattern, Comparing, literal, overlap, parse

# All names of one to four letters, and all paths of up to three short ones: enough for a witness of
# any two patterns that are generated here, as each has so few parts.
NAMES = ["".join(letters) for length in range(1, 5) for letters in product("ab", repeat=length)]
SHORT = [name for name in NAMES if len(name) < 3]
PATHS = ["/".join(names) for length in range(1, 4) for names in product(SHORT, repeat=length)]

ITEMS = st.sampled_from(["a", "b", "*", "?", "[ab]", "[!a]", r"\a", "[b]"])


def names(most: int) -> st.SearchStrategy[str]:
    return st.lists(ITEMS, min_size=1, max_size=most).map("".join)


PATTERNS = st.lists(st.just("**") | names(2), min_size=1, max_size=2).map("/".join)


def as_regex(pattern: str) -> re.Pattern[str]:
    """The model: the same pattern as a regular expression over names that end in a slash."""
    text = ""
    for name in pattern.split("/"):
        if name == "**":
            text += "(?:[^/]+/)*"
            continue
        one = re.sub(r"\\(.)", r"\1", name).replace("?", "[^/]").replace("*", "[^/]*")
        text += "(?=[^/])" + one.replace("[!", "[^/") + "/"
    return re.compile(text)


def meet(one: str, other: str, among: list[str]) -> bool:
    first, second = as_regex(one), as_regex(other)
    return any(first.fullmatch(f"{path}/") and second.fullmatch(f"{path}/") for path in among)


@given(names(3), names(3))
def test_two_names_overlap_if_a_name_matches_both(one: str, other: str) -> None:
    assert overlap(parse(one), parse(other)) == meet(one, other, NAMES)


@given(PATTERNS, PATTERNS)
def test_two_patterns_overlap_if_a_path_matches_both(one: str, other: str) -> None:
    assert overlap(parse(one), parse(other)) == meet(one, other, PATHS)


@given(PATTERNS, st.sampled_from(PATHS))
def test_a_path_overlaps_with_the_patterns_that_match_it(pattern: str, path: str) -> None:
    matches = as_regex(pattern).fullmatch(f"{path}/") is not None
    assert overlap(parse(pattern), literal(path)) is matches
    if matches:
        found = beginnings([literal("z"), literal(path)])
        assert found is not None and beginning(pattern) in found
    assert overlap(literal(path), parse(pattern)) is matches


@pytest.mark.parametrize(
    ("one", "other", "does"),
    [
        ("src/*.py", "src/a.py", True),
        ("src/*", "src/a/b", False),
        ("src/**", "src", True),
        ("**/test_*.py", "src/**", True),
        ("**/*.py", "**/*.md", False),
        ("a/**/b/**/c", "a/x/**/c", True),
        ("*ab", "*ba", False),
        ("[a-m]*", "[n-z]*", False),
        ("[]a]", "]", True),
        ("[a-]", "-", True),
        (r"[\]]", "]", True),
        (r"[\!a]", "!", True),
        (r"\*", "*", True),
        (r"\*", "a", False),
        ("caf\u00e9", "cafe\u0301", True),
        ("A", "a", False),
        ("a**b", "axb", True),
        ("a**b", "a/b", False),
    ],
)
def test_what_overlaps(one: str, other: str, does: bool) -> None:
    assert overlap(parse(one), parse(other)) is does
    assert overlap(parse(other), parse(one)) is does


def test_a_path_is_no_pattern() -> None:
    assert overlap(literal("app/[id].ts"), parse(r"app/\[id\].ts"))
    assert not overlap(literal("app/[id].ts"), parse("app/[id].ts"))


@pytest.mark.parametrize(
    "text", ["", "/a", "a//b", ".", "a/..", "[", "a[b/c]", "[]", "[b-a]", "\\"]
)
def test_what_is_no_pattern(text: str) -> None:
    with pytest.raises(BadPattern):
        parse(text)


def test_hostile_patterns_are_compared_in_few_steps() -> None:
    """Those on which a search that goes back would take for ever."""
    steps = 0

    def spend(more: int) -> None:
        nonlocal steps
        steps += more

    comparing = Comparing(spend)
    hard = "/".join(["**", *["*a" * 25 + "b"] * 7, "**", "x" * 20])
    other = "/".join(["**", *["*a" * 25 + "c"] * 7, "**", "y" * 20])
    assert not overlap(parse(hard), parse(other), comparing)
    assert not overlap(parse("*a" * 200 + "b"), literal("a" * 4_000), comparing)
    classes = "[" + "abcdefghijklmnopqrstuvwxyzABCDEF" + "]"
    assert overlap(parse(classes * 14), parse(classes * 14), comparing)
    assert 0 < steps < 1_000_000


def test_what_was_compared_once_costs_nothing_again() -> None:
    spent: list[int] = []
    comparing = Comparing(spent.append)
    for _ in range(3):
        assert overlap(literal("src/a.py"), parse("src/**/*.py"), comparing)
    first = spent.index(1, 1)
    assert sum(spent[:first]) > 5
    assert set(spent[first:]) == {1}


def test_what_all_paths_of_a_pattern_begin_with() -> None:
    assert [beginning(one) for one in ("src/auth/**", "src/*.py", "**/x", "a/\\[b\\]/c", "a[")] == [
        *("src/auth", "src", "", "a/[b]/c", "")
    ]
    assert beginnings([literal("src/auth/x.py")]) == ["", "src", "src/auth", "src/auth/x.py"]
    assert beginnings([literal("/".join("a" * 100))]) is None, "it would be as dear as all leases"
