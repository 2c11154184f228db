"""A server with a systemd of its own (scripts/server-for-tests), and what an operator does there as
root.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .harness import ROOT

PYTHON = "/opt/claude-bus/.venv/bin/python"
DOMAIN = "bus.test"
_PLATFORMS = ("manylinux_2_28", "manylinux_2_17", "manylinux2014")


@dataclass
class Server:
    """A container whose root we are. `lxd` is the environment that leads to its LXD."""

    lxd: dict[str, str]

    def start(self, script: str, *arguments: str) -> subprocess.Popen[str]:
        """Begin a script of bash there; `$1` is its first argument."""
        told = [
            "lxc",
            "exec",
            "server",
            "--env",
            "HOME=/root",
            "--",
            "bash",
            "-c",
            script,
            "bash",
            *arguments,
        ]
        pipe = subprocess.PIPE
        return subprocess.Popen(
            told, env=self.lxd, text=True, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe
        )

    def run(self, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a script to its end, however that is."""
        with self.start(script, *arguments) as process:
            out, err = process.communicate(timeout=300)
        return subprocess.CompletedProcess(script, process.returncode, out, err)

    def sh(self, script: str, *arguments: str) -> str:
        """What a script says, which must succeed at each of its steps."""
        ran = self.run("set -euo pipefail\n" + script, *arguments)
        assert ran.returncode == 0, f"{script}\n{ran.stdout[-3000:]}{ran.stderr[-3000:]}"
        return ran.stdout.strip()

    def until(self, script: str, within_s: float = 90) -> None:
        """Wait until a script succeeds."""
        ends = time.monotonic() + within_s
        while (ran := self.run(script)).returncode != 0:
            assert time.monotonic() < ends, f"{script}\n{ran.stdout[-2000:]}{ran.stderr[-2000:]}"
            time.sleep(0.2)

    def push(self, source: Path, target: str) -> None:
        subprocess.run(
            ["lxc", "file", "push", "-q", str(source), f"server{target}"], env=self.lxd, check=True
        )

    def prepare(self, scratch: Path) -> None:
        """Wait for systemd; bring this checkout and the packages that it needs."""
        self.until("case $(systemctl is-system-running) in running|degraded) ;; *) false ;; esac")
        wheels(
            scratch / "wheels",
            self.sh("python3 -c 'import sys; print(\"%d.%d\" % sys.version_info[:2])'"),
        )
        with tarfile.open(scratch / "all.tar", "w") as archive:
            archive.add(scratch / "wheels", "wheels")
            for name in (
                "bus",
                "busclient",
                "data",
                "docs",
                "nginx",
                "scripts",
                "systemd",
                "app.py",
                "requirements.txt",
            ):
                archive.add(ROOT / name, f"src/{name}", filter=without_leftovers)
        self.push(scratch / "all.tar", "/root/all.tar")
        self.sh(f"cd /root; tar xf all.tar; rm all.tar; echo 127.0.0.1 {DOMAIN} >> /etc/hosts")

    def install(self, *arguments: str) -> str:
        """Run the installer, packages coming from the folder that was brought along; under the
        umask of careful people.
        """
        return self.in_checkout(
            f"umask 077; scripts/install-server --domain {DOMAIN} {' '.join(arguments)} 2>&1"
        )

    def in_checkout(self, script: str) -> str:
        """Run a script in the checkout, where pip takes the packages that were brought along."""
        return self.sh(f"cd /root/src; export PIP_NO_INDEX=1 PIP_FIND_LINKS=/root/wheels\n{script}")

    def ask(
        self, path: str, user: str = "claude", body: dict[str, Any] | None = None
    ) -> tuple[int, Any]:
        """A call through nginx, as who has an env file in /root: status and JSON."""
        given = "-X POST -H 'Content-Type: application/json' -d \"$1\"" if body is not None else ""
        call = (
            f'. /root/{user}.env; curl -sk -w "\\n%{{http_code}}" {given} -u "$BUS_USER:$BUS_PASS"'
            f' "$BUS_URL{path}"'
        )
        text, _, status = self.sh(call, json.dumps(body)).rpartition("\n")
        return int(status), json.loads(text)

    def hub(self, *arguments: str) -> str:
        """An operator's command, as the docs print it."""
        paths = "BUS_DATA_DIR=/var/lib/claude-bus BUS_CREDENTIALS=/etc/claude-bus/credentials"
        return self.sh(
            f"runuser -u claude-bus -- env -C /opt/claude-bus {paths} {PYTHON} -m bus"
            f" {' '.join(arguments)}"
        )

    def bus(self, command: str, user: str = "claude") -> str:
        """The words that begin a call of the `bus` command as this user, who trusts the
        certificate.
        """
        told = (
            f"set -a; . /root/{user}.env; CURL_CA_BUNDLE=/etc/ssl/claude-bus/fullchain.pem; set +a;"
            " cd /opt/claude-bus"
        )
        return f"({told}; exec {PYTHON} -m busclient {command})"

    def keep_secrets(self) -> None:
        """Put the two env files where an operator has them."""
        for file, user in (("claude-bus", "claude"), ("admin", "admin")):
            self.sh(
                f"umask 077; runuser -u claude-bus -- cat /var/lib/claude-bus/{file}.env >"
                f" /root/{user}.env"
            )

    def is_well(self) -> None:
        """Wait until the hub answers through nginx, and the service that runs commands is there."""
        call = '. /root/claude.env; curl -skf -u "$BUS_USER:$BUS_PASS" "$BUS_URL/health"'
        self.until(f"""{call} | grep -q '"exec":"ready"'""")


def commands_below(heading: str) -> list[str]:
    """The blocks of commands below a heading of docs/deploy.md, in order, with this server's name
    in them.
    """
    text = (
        (ROOT / "docs" / "deploy.md")
        .read_text()
        .split(f"\n## {heading}\n", 1)[1]
        .split("\n## ", 1)[0]
    )
    blocks = re.findall(r"(?:^ {4}.*\n)+", text, re.MULTILINE)
    return [textwrap.dedent(block).replace("bus.example.org", DOMAIN) for block in blocks]


def without_leftovers(found: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """What a checkout has: no byte code, and of data/ only what is in git."""
    parts = Path(found.name).parts
    is_data = parts[:2] == ("src", "data") and parts[2:] not in (
        (),
        ("README.md",),
        (".gitignore",),
    )
    return None if "__pycache__" in parts or is_data else found


def wheels(folder: Path, version: str) -> None:
    """The packages that the hub needs, for the Python of the server."""
    platforms = [f"--platform={name}_{os.uname().machine}" for name in _PLATFORMS]
    kind = ["--only-binary=:all:", "--implementation=cp", f"--python-version={version}", *platforms]
    wanted = [
        "--quiet",
        "--disable-pip-version-check",
        "-r",
        str(ROOT / "requirements.txt"),
        "-d",
        str(folder),
    ]
    subprocess.run([sys.executable, "-m", "pip", "download", *kind, *wanted], check=True)
