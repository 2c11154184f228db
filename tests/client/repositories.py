"""Real git repositories for tests, apart from the git settings of whoever runs them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ORIGIN = "git@github.com:acme/app.git"


class Repo:
    """A clone of `acme/app` with one commit."""

    def __init__(self, root: Path, environ: dict[str, str]) -> None:
        self.root, self.environ = root, environ

    @classmethod
    def made(cls, root: Path, environ: dict[str, str], origin: str = ORIGIN) -> Repo:
        root.mkdir(parents=True)
        repo = cls(root, environ)
        repo.git("init", "-q", "-b", "main")
        if origin:
            repo.git("remote", "add", "origin", origin)
        repo.write("src/a.py", "a\n")
        repo.write("docs/b.md", "b\n")
        repo.git("add", "-A")
        repo.git("commit", "-q", "-m", "first")
        return repo

    def run(self, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.root,
            env={**git_environ(self.environ), **more},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def git(self, *arguments: str) -> str:
        done = self.run("git", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def commit(self, **more: str) -> subprocess.CompletedProcess[str]:
        """Commit all that has changed."""
        self.git("add", "-A")
        return self.run("git", "commit", "-q", "-m", "next", **more)

    def count(self) -> int:
        return int(self.git("rev-list", "--count", "HEAD"))


def git_environ(environ: dict[str, str]) -> dict[str, str]:
    """An environment in which git asks nobody who they are, and reads no settings of theirs."""
    names = ("AUTHOR", "COMMITTER")
    who = {f"GIT_{name}_NAME": "bob" for name in names}
    who |= {f"GIT_{name}_EMAIL": "bob@example.org" for name in names}
    kept = {name: value for name, value in environ.items() if not name.startswith("GIT_")}
    return {"PATH": os.environ["PATH"], **kept, **who, "GIT_CONFIG_NOSYSTEM": "1"}
