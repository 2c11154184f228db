"""Installed from a checkout into a fresh virtual environment."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.client.conftest import Served
from tests.conftest import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("package")]


@pytest.fixture(scope="module")
def venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("install")
    # A copy, because building writes into the checkout.
    ignored = shutil.ignore_patterns(
        ".git", ".venv", "data", "build", "*.egg-info", "__pycache__", ".*_cache"
    )
    shutil.copytree(ROOT, folder / "checkout", ignore=ignored)
    (folder / "checkout" / "README.md").touch()
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    pip = [
        str(folder / "venv" / "bin" / "python"),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]
    subprocess.run([*pip, str(folder / "checkout")], check=True, timeout=300)
    return folder / "venv"


def test_the_command_runs_without_the_hubs_packages(venv: Path, served: Served, home: Path) -> None:
    python = str(venv / "bin" / "python")
    assert (
        subprocess.run([python, "-c", "import flask"], capture_output=True, check=False).returncode
        != 0
    )
    environ = {name: value for name, value in served.environ(home).items() if name != "PYTHONPATH"}
    served.caller.say("hello, fresh machine")
    done = subprocess.run(
        [str(venv / "bin" / "bus"), "inbox"],
        env=environ,
        capture_output=True,
        check=False,
        text=True,
        cwd="/",
    )
    assert "hello, fresh machine" in done.stdout, done
    done = subprocess.run(
        [str(venv / "bin" / "bus"), "up"],
        env=environ,
        capture_output=True,
        check=False,
        text=True,
        cwd="/",
    )
    assert done.returncode == 8
    assert "pip install '.[hub]'" in done.stderr


def test_the_package_holds_what_it_needs(venv: Path) -> None:
    (packages,) = venv.glob("lib/python3*/site-packages")
    for name in (
        "busclient/py.typed",
        "busclient/_cli/output.py",
        "busclient/_claude/SKILL.md",
        "busclient/_claude/MAIL.md",
        "busclient/_claude/rules.md",
        "bus/runner/drivers/write.sh",
        "bus/web/__init__.py",
        "app.py",
    ):
        assert (packages / name).exists(), name
    assert not (packages / "tests").exists()
