"""`scp:host:/folder`: the files of a host by ssh, with the user's own configuration and keys.

The program is sftp, which ssh's scp uses too: it alone can give a file its name when it is whole.
No name of a file here stands in what sftp is told to do, and the place is quoted there.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

from busclient._errors import LocalTrouble
from busclient._share.carrier import failed, program, run
from busclient._share.places import Place

# ERROR: what ssh says when it cannot connect is shown to the user; warnings and banners are not.
_OPTIONS = (
    "BatchMode=yes",
    "ConnectTimeout=10",
    "ServerAliveInterval=15",
    "ServerAliveCountMax=2",
    "LogLevel=ERROR",
)
_LOOK_S = 0.2


class Sftp:
    """See `Carrier`."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def upload(self, source: Path, scratch: str) -> None:
        with tempfile.TemporaryDirectory(prefix="bus-share-") as folder:
            os.symlink(source.absolute(), Path(folder, "file"))
            there = self._quoted(scratch)
            self._run(f"put -f file {there}", f"chmod 644 {there}", cwd=folder)

    def publish(self, scratch: str, file: str) -> None:
        # -l: the older kind of renaming, which never replaces a file
        self._run(f"rename -l {self._quoted(scratch)} {self._quoted(file)}")

    def remove(self, scratch: str) -> None:
        with suppress(LocalTrouble):
            self._run(f"rm {self._quoted(scratch)}")

    def fetch(self, file: str, target: Path, size: int) -> None:
        batch = f"get {self._quoted(file)} {target.name}\n".encode()
        with subprocess.Popen(  # noqa: S603  the host is checked, and stands behind --
            self._arguments(),
            cwd=target.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        ) as process:
            said = _bounded(process, batch, target, size)
        if process.returncode > 0:
            raise failed(str(self._place), process.returncode, said)

    def _run(self, *lines: str, cwd: str | None = None) -> None:
        batch = "".join(f"{line}\n" for line in lines).encode()
        run(self._arguments(), str(self._place), input=batch, stdin=None, cwd=cwd)

    def _arguments(self) -> list[str]:
        options = [part for option in _OPTIONS for part in ("-o", option)]
        sftp, ssh = (program(name, "the OpenSSH client") for name in ("sftp", "ssh"))
        return [sftp, "-S", ssh, *options, "-b", "-", "--", self._place.host]

    def _quoted(self, file: str) -> str:
        """Return the path of a file there as a word of sftp: a place has no backslash and no
        control character, and in quotes sftp takes no wildcards.
        """
        return '"' + self._place.inside(file).replace('"', '\\"') + '"'


def _bounded(process: subprocess.Popen[bytes], batch: bytes, target: Path, size: int) -> bytes:
    """Let sftp work until it ends, or has fetched too much: it has no bound of its own. Returns
    what it said.
    """
    given: bytes | None = batch
    try:
        while True:
            try:
                return process.communicate(given, timeout=_LOOK_S)[1]
            except subprocess.TimeoutExpired:
                given = None  # it has that already
                if target.exists() and target.stat().st_size > size:
                    return b""
    finally:
        process.kill()
