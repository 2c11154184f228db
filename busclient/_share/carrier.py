"""What each way to a place can do, and how a program of this machine is run for it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import IO, Protocol

from busclient._errors import LocalTrouble
from busclient._harmless import one_line


class Carrier(Protocol):
    """One way to one place, where a file has a scratch name until it is whole.

    Each verb raises LocalTrouble.
    """

    def upload(self, source: Path, scratch: str) -> None:
        """Copy a file to a new name there."""

    def publish(self, scratch: str, file: str) -> None:
        """Give it its name; never in the place of another file."""

    def remove(self, scratch: str) -> None:
        """Take away what is left of an upload."""

    def fetch(self, file: str, target: Path, size: int) -> None:
        """Copy a file from there to a new file here: no more than `size` bytes and a little."""


def program(name: str, package: str) -> str:
    """Return where a program is; raises LocalTrouble."""
    found = shutil.which(name)
    if found is None:
        raise LocalTrouble(
            f"There is no `{name}` on this machine.", hint=f"Install {package}, or use another way."
        )
    return found


def run(arguments: list[str], what: str, **kwargs: object) -> bytes:
    """Run a program to its end; returns its output. Raises LocalTrouble with its last words."""
    done = subprocess.run(  # type: ignore[call-overload]  # noqa: S603  vectors of this package
        arguments, capture_output=True, check=False, **({"stdin": subprocess.DEVNULL} | kwargs)
    )
    if done.returncode != 0:
        raise failed(what, done.returncode, done.stderr)
    return bytes(done.stdout)


def failed(what: str, code: int, said: bytes) -> LocalTrouble:
    """Return the error of a program that has failed."""
    lines = said.decode("utf-8", "replace").strip().splitlines()[-3:]
    words = one_line(" / ".join(lines), 400) or f"exit code {code}"
    return LocalTrouble(f"{what}: {words}", hint="")


def copied(source: IO[bytes], target: IO[bytes], most: int) -> int:
    """Copy at most so many bytes; returns how many there were."""
    copied = 0
    while copied < most and (chunk := source.read(min(1 << 20, most - copied))):
        target.write(chunk)
        copied += len(chunk)
    return copied
