"""A place of each kind: a folder, a host behind a real sshd, a remote of a real rclone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from busclient import Bus
from tests.client.http.test_ssh import Sshd

ODD = """shared 'files' "of" [a-z] *? ä"""


@pytest.fixture
def way(monkeypatch: pytest.MonkeyPatch) -> str:
    """How the command speaks to its hub, which is not what these tests are about."""
    defaults = {**(Bus.__init__.__kwdefaults__ or {}), "light": True}
    monkeypatch.setattr(Bus.__init__, "__kwdefaults__", defaults)
    return "light"


@dataclass
class There:
    """A place, and where its files really are."""

    via: str
    folder: Path

    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())


@pytest.fixture(scope="session")
def share_sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    folder = tmp_path_factory.mktemp("sshd")
    server = Sshd(folder, folder, more="Subsystem sftp internal-sftp\n")
    (folder / "bin").mkdir()
    wrapper = folder / "bin" / "ssh"
    wrapper.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {server.config} "$@"\n')
    wrapper.chmod(0o755)
    yield server
    server.process.terminate()
    server.process.wait(10)


@pytest.fixture(
    params=["dir", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("scp", "rclone"))]
)
def there(
    request: pytest.FixtureRequest, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> There:
    """An empty place, whose path is not plain."""
    folder = tmp_path / ODD
    folder.mkdir()
    via = f"dir:{folder}"
    if request.param == "scp":
        server = request.getfixturevalue("share_sshd")
        monkeypatch.setenv("PATH", f"{server.folder}/bin:{os.environ['PATH']}")
        via = f"scp:hubhost:{folder}"
    if request.param == "rclone":
        config = tmp_path / "rclone.conf"
        config.write_text("[nas]\ntype = local\n")
        monkeypatch.setenv("RCLONE_CONFIG", str(config))
        via = f"rclone:nas:{folder}"
    monkeypatch.setenv("BUS_SHARE", via)
    return There(via, folder)
