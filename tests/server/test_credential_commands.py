"""`python -m bus credential add`: for machines, admins and people."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from bus import create_app
from bus.config import Config
from bus.server.commands import main
from tests.conftest import opened


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with a log."""
    folder = tmp_path / "data"
    monkeypatch.setenv("BUS_DATA_DIR", str(folder))
    for caller in opened(create_app(Config(data_dir=folder, fsync="never"))):
        caller.hub.credentials.note_change("add", "first", "member", "operator")
    return folder


@pytest.mark.parametrize("name", ["chas", "human/chas"])
def test_a_persons_credential_has_human_before_its_name(data: Path, name: str) -> None:
    ran = CliRunner().invoke(main, ["credential", "add", name, "--human", "--json"])
    assert ran.exit_code == 0, ran.output
    made = json.loads(ran.output)
    assert (made["name"], made["role"]) == ("human/chas", "human")
    listed = CliRunner().invoke(main, ["credential", "list"])
    assert "human/chas: human\n" in listed.output


def test_a_person_is_no_admin(data: Path) -> None:
    ran = CliRunner().invoke(main, ["credential", "add", "chas", "--human", "--admin"])
    assert ran.exit_code == 2
    assert "either --admin or --human" in ran.output
