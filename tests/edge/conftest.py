"""Fixtures: the shipped nginx file run by a real nginx in a scratch folder, and something real
behind it.

`edge` is nginx in front of the hub; `make_edge` puts the same nginx in front of any socket. The
configuration is the shipped file with only its ports and paths exchanged (`harness.derive`), so
what is tested is what is installed.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.conftest import free_port

from .harness import (
    ROOT,
    TOKEN,
    USER,
    WRAPPER,
    Edge,
    answers,
    credential_line,
    derive,
    running,
    told_by,
    tool,
    wait_for,
)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a self-signed pair, made as scripts/install-server makes it."""
    folder = tmp_path_factory.mktemp("certificate")
    pair = ["-keyout", folder / "privkey.pem", "-out", folder / "fullchain.pem"]
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"]
    made = told_by(
        [tool("openssl"), "req", "-x509", *key, "-days", "2", "-subj", "/CN=localhost", *pair]
    )
    assert made.returncode == 0, made.stderr
    return folder


@pytest.fixture(scope="session")
def make_edge(
    tmp_path_factory: pytest.TempPathFactory, certificate: Path
) -> Iterator[Callable[..., Edge]]:
    """Start nginx in front of a unix socket: `make_edge(path)`.

    `http` adds lines around the shipped file.
    """
    with ExitStack() as stack:

        def make(hub_socket: Path, http: str = "") -> Edge:
            folder = tmp_path_factory.mktemp("edge")
            https, http_port = free_port(), free_port()
            for name in ("privkey.pem", "fullchain.pem"):
                shutil.copy(certificate / name, folder)
            (folder / "credentials").write_text(credential_line(USER, TOKEN))
            (folder / "acme").mkdir()
            (folder / "claude-bus.conf").write_text(derive(folder, hub_socket, https, http_port))
            # Scratch folders are open to their owner only; nginx's workers would else be another
            # user.
            user = "user root;" if os.geteuid() == 0 else ""
            (folder / "nginx.conf").write_text(WRAPPER.format(dir=folder, user=user, http=http))
            process = stack.enter_context(
                running(
                    [tool("nginx"), "-p", str(folder), "-c", str(folder / "nginx.conf")],
                    folder / "out.log",
                )
            )
            wait_for(lambda: answers(("127.0.0.1", https)), process, f"nginx, see {folder}/out.log")
            return Edge(https, http_port, folder, process)

        yield make


@contextmanager
def running_hub(folder: Path, **settings: str) -> Iterator[Path]:
    """The real hub under gunicorn, on a unix socket, knowing the credential of the tests; gives the
    socket.
    """
    path = folder / "hub.sock"
    (folder / "credentials").write_text(credential_line(USER, TOKEN))
    environ = {**os.environ, "BUS_DATA_DIR": str(folder / "data"), "BUS_LISTEN": f"unix:{path}"}
    environ |= {"BUS_CREDENTIALS": str(folder / "credentials"), "BUS_FSYNC": "never", **settings}
    with running(
        [sys.executable, "-m", "bus", "serve"], folder / "hub.log", cwd=ROOT, env=environ
    ) as process:
        wait_for(
            lambda: path.exists() and answers(str(path)), process, f"hub, see {folder}/hub.log"
        )
        yield path


@pytest.fixture(scope="session")
def hub_socket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A hub that the tests share."""
    with running_hub(tmp_path_factory.mktemp("hub")) as path:
        yield path


@pytest.fixture
def whole(make_edge: Callable[..., Edge], tmp_path: Path) -> Iterator[Edge]:
    """nginx and a hub of its own that read one credential file, as on a server.

    One worker: it counts wrong invites.
    """
    with running_hub(tmp_path, BUS_WORKERS="1") as path:
        edge = make_edge(path)
        (edge.dir / "credentials").unlink()
        (edge.dir / "credentials").symlink_to(tmp_path / "credentials")
        yield edge


@pytest.fixture(scope="session")
def edge(make_edge: Callable[..., Edge], hub_socket: Path) -> Edge:
    """nginx in front of the hub."""
    return make_edge(hub_socket)
