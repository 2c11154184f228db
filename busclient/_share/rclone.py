"""`rclone:gdrive:claude-handoffs`: what this machine's rclone reaches, by the name of a remote."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from pathlib import Path

from busclient._errors import LocalTrouble
from busclient._share.carrier import copied, failed, program, run
from busclient._share.places import Place


class Rclone:
    """See `Carrier`."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def upload(self, source: Path, scratch: str) -> None:
        # An absolute path: rclone takes a name with a colon for a remote.
        self._run("copyto", "--no-traverse", "--", str(source.absolute()), self._at(scratch))

    def publish(self, scratch: str, file: str) -> None:
        if self._names(file):
            raise LocalTrouble(f"{self._place} has a file {file} already.")
        self._run("moveto", "--ignore-existing", "--", self._at(scratch), self._at(file))

    def remove(self, scratch: str) -> None:
        with suppress(LocalTrouble):
            self._run("deletefile", "--", self._at(scratch))

    def fetch(self, file: str, target: Path, size: int) -> None:
        with subprocess.Popen(  # noqa: S603  the remote is checked, and stands behind --
            self._arguments("cat", "--", self._at(file)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            assert process.stdout is not None and process.stderr is not None
            try:
                with target.open("xb") as kept:
                    is_over = copied(process.stdout, kept, size + 1) > size
                said = b"" if is_over else process.stderr.read()
                if not is_over:
                    process.wait()
            finally:
                process.kill()
        if process.returncode > 0:
            raise failed(str(self._place), process.returncode, said)

    def _names(self, file: str) -> bool:
        """Return whether there is such a file."""
        listed = self._run("lsf", "--files-only", "--include", f"/{file}", "--", self._at(""))
        return file in listed.decode("utf-8", "replace").splitlines()

    def _at(self, file: str) -> str:
        return f"{self._place.host}:{self._place.inside(file) if file else self._place.path}"

    def _run(self, *words: str) -> bytes:
        return run(self._arguments(*words), str(self._place))

    def _arguments(self, verb: str, *words: str) -> list[str]:
        return [program("rclone", "rclone"), verb, "--quiet", *words]
