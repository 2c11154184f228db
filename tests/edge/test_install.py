"""scripts/install-server, into a scratch root. It runs from a git checkout made of this one.

Never without --root, not even as a dry run: were the dry run broken, the test would install the hub on this machine.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from .harness import ROOT, told_by, tool

pytestmark = pytest.mark.slow

DOMAIN = "bus.test"


def git(*arguments: str, cwd: Path) -> str:
    who = ["-c", "safe.directory=*", "-c", "user.name=t", "-c", "user.email=t@localhost"]
    told = told_by([tool("git"), *who, *arguments], cwd=cwd)
    assert told.returncode == 0, told.stderr
    return told.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone as a user has it: what git tracks or would track here, committed."""
    copy = tmp_path_factory.mktemp("checkout")
    if (ROOT / ".git").exists():
        names = git("ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT).split("\0")
    else:
        names = [str(path.relative_to(ROOT)) for path in ROOT.rglob("*")]
    for name in names:
        if name and (ROOT / name).is_file() and "__pycache__" not in name:
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((ROOT / name).read_bytes())
            (copy / name).chmod((ROOT / name).stat().st_mode & 0o777)
    git("init", "-q", cwd=copy)
    git("add", "-A", "--force", cwd=copy)
    git("commit", "-q", "-m", "as it is", cwd=copy)
    return copy


def install(checkout: Path, *arguments: str | Path) -> str:
    """Run the installer with the virtual environment of these tests; gives what it printed."""
    environ = {**os.environ, "CLAUDE_BUS_VENV": sys.prefix, "PYTHONDONTWRITEBYTECODE": "1"}
    told = told_by([checkout / "scripts" / "install-server", "--domain", DOMAIN, *arguments], env=environ)
    assert told.returncode == 0, told.stdout[-2000:] + told.stderr
    return told.stdout


def tree(root: Path) -> dict[str, tuple[str, str]]:
    """Each path below root with its mode and what it holds. Links are not followed."""
    found = {}
    for path in sorted(root.rglob("*")):
        mode = path.lstat().st_mode
        if path.is_symlink():
            holds = f"-> {os.readlink(path)}"
        else:
            holds = "folder" if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()
        found[str(path.relative_to(root))] = (oct(stat.S_IMODE(mode)), holds)
    return found


@pytest.fixture
def root(tmp_path: Path, checkout: Path) -> Path:
    """A scratch root with the hub installed in it."""
    install(checkout, "--root", tmp_path / "root")
    return tmp_path / "root"


def test_a_dry_run_prints_the_steps_and_changes_nothing(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    before = tree(checkout)
    told = install(checkout, "--dry-run", "--root", tmp_path / "root")
    assert tree(tmp_path / "root") == {}
    assert tree(checkout) == before
    for step in (
        "usermod",
        "-m bus init",
        "openssl req",
        "sites-enabled/claude-bus",
        "systemctl enable claude-bus claude-bus-exec",
    ):
        assert step in told


def test_every_step_of_a_real_run_was_in_the_dry_run(checkout: Path, tmp_path: Path) -> None:
    dry = install(checkout, "--dry-run", "--root", tmp_path / "root")
    real = install(checkout, "--root", tmp_path / "root")
    steps = [line for line in real.splitlines() if line.startswith("    ")]
    assert [step for step in steps if step not in dry.splitlines()] == []


def test_a_second_run_changes_nothing(checkout: Path, root: Path) -> None:
    before = tree(root)
    install(checkout, "--root", root)
    assert tree(root) == before


def test_secrets_are_readable_by_nobody_else(root: Path) -> None:
    modes = {name: mode for name, (mode, _) in tree(root).items()}
    assert modes["etc/claude-bus"] == "0o2750"
    assert modes["etc/claude-bus/credentials"] == "0o640"
    # The group is that of the hub and of the service that runs commands; nginx is not in it.
    assert modes["var/lib/claude-bus"] == "0o2770"
    assert modes["var/lib/claude-bus-exec"] == "0o700"
    assert modes["etc/claude-bus-exec"] == "0o750"
    assert modes["etc/claude-bus-exec/targets.toml"] == "0o640"
    assert modes["var/lib/claude-bus/claude-bus.env"] == "0o600"
    assert modes["var/lib/claude-bus/admin.env"] == "0o600"
    assert modes["var/log/nginx/claude-bus.access.log"] == "0o640"
    assert modes["etc/ssl/claude-bus"] == "0o700"
    assert modes["etc/ssl/claude-bus/privkey.pem"] == "0o600"


def install_where(checkout: Path, root: Path, tmp_path: Path, groups: dict[str, str]) -> list[str]:
    """Install on a machine whose users have these groups; gives the commands that it would run there."""
    tools = tmp_path / "tools"
    tools.mkdir(exist_ok=True)
    users = "".join(f'{name}) echo "{given}" ;;\n' for name, given in groups.items())
    (tools / "id").write_text(f'#!/bin/sh\n[ "$1" = -nG ] || exec /usr/bin/id "$@"\ncase $2 in {users} *) exit 1 ;; esac\n')
    known = "|".join(
        {"passwd " + name for name in groups} | {"group " + name for given in groups.values() for name in given.split()}
    )
    (tools / "getent").write_text(f'#!/bin/sh\ncase "$*" in {known.replace(" ", chr(92) + " ")}) ;; *) exit 2 ;; esac\n')
    for tool_file in tools.iterdir():
        tool_file.chmod(0o755)
    environ = {**os.environ, "CLAUDE_BUS_VENV": sys.prefix, "PATH": f"{tools}:{os.environ['PATH']}"}
    told = told_by([checkout / "scripts" / "install-server", "--domain", DOMAIN, "--root", root], env=environ)
    assert told.returncode == 0, told.stdout[-2000:] + told.stderr
    return [line.replace("(not below --root)", "").strip() for line in told.stdout.splitlines() if line.startswith("    ")]


def test_each_user_gets_the_groups_that_it_needs(checkout: Path, tmp_path: Path) -> None:
    """tests/edge/test_doors.py shows what these let them do."""
    steps = install_where(checkout, tmp_path / "root", tmp_path, {"www-data": "www-data", "root": "root"})
    made = [step for step in steps if re.match(r"useradd|usermod|groupadd|gpasswd", step)]
    assert made == [
        "useradd --system --user-group --home-dir /var/lib/claude-bus --no-create-home --shell /usr/sbin/nologin claude-bus",
        "useradd --system --gid claude-bus --home-dir /var/lib/claude-bus-exec --no-create-home"
        " --shell /usr/sbin/nologin claude-bus-exec",
        "groupadd --force --system claude-bus-web",
        "usermod --append --groups claude-bus-web www-data",
        "usermod --append --groups claude-bus-web claude-bus-exec",
    ]
    # A running nginx is in the new group before the credentials are.
    order = ["groups claude-bus-web www-data", "try-reload-or-restart nginx", "chown claude-bus:claude-bus-web /etc/claude-bus"]
    places = [next(at for at, step in enumerate(steps) if wanted in step) for wanted in order]
    assert places == sorted(places)


@pytest.mark.parametrize("group", ["lxd", "incus-admin"])
def test_only_the_service_that_runs_commands_gets_the_socket_of_lxd(checkout: Path, tmp_path: Path, group: str) -> None:
    steps = install_where(checkout, tmp_path / "root", tmp_path, {"www-data": "www-data", "somebody": group})
    assert [step for step in steps if group in step] == [f"usermod --append --groups {group} claude-bus-exec"]


def test_a_server_with_one_user_becomes_one_with_two(checkout: Path, root: Path, tmp_path: Path) -> None:
    """As it was before: everything the hub's alone, and nginx in its group."""
    data = root / "var/lib/claude-bus"
    (data / "run").mkdir(mode=0o700)
    for name in ("bus.jsonl", "bus-1.jsonl", "index.db", "run/append.lock", "backup-2026/bus.jsonl"):
        (data / name).parent.mkdir(mode=0o700, exist_ok=True)
        (data / name).touch(0o600)
    data.chmod(0o700)
    before = {"www-data": "www-data claude-bus", "claude-bus": "claude-bus"}
    steps = install_where(checkout, root, tmp_path, before)
    order = [
        "usermod --append --groups claude-bus-web www-data",
        "systemctl stop claude-bus-exec claude-bus",
        "gpasswd --delete www-data claude-bus",
        f"install -d -m 2770 {data}",
        "systemd-tmpfiles --create /etc/tmpfiles.d/claude-bus.conf",
        "systemctl start claude-bus claude-bus-exec",
        "systemctl reload nginx",
    ]
    assert [step for step in steps if step in order] == order
    # What the hub does at its start.
    init = [sys.executable, "-m", "bus", "init"]
    environ = {**os.environ, "BUS_DATA_DIR": str(data), "BUS_CREDENTIALS": str(root / "etc/claude-bus/credentials")}
    assert told_by(init, cwd=checkout, env=environ).returncode == 0
    modes = {name: mode for name, (mode, _) in tree(data).items()}
    shared = ("bus.jsonl", "bus-1.jsonl", "index.db", "run", "run/append.lock")
    assert {name: modes[name] for name in shared} == {name: "0o770" if name == "run" else "0o660" for name in shared}
    own = {"admin.env": "0o600", "claude-bus.env": "0o600", "backup-2026": "0o2700", "backup-2026/bus.jsonl": "0o600"}
    assert {name: modes[name] for name in own} == own


def test_the_first_credential_fits_its_file_and_names_the_server(root: Path) -> None:
    given = dict(
        line.removeprefix("export ").split("=", 1)
        for line in (root / "var/lib/claude-bus/claude-bus.env").read_text().splitlines()
        if "=" in line and not line.startswith("#")
    )
    assert given["BUS_URL"].strip("'\"") == f"https://{DOMAIN}"
    assert len(given["BUS_PASS"].strip("'\"")) >= 43  # 256 bits
    line = (root / "etc/claude-bus/credentials").read_text()
    assert re.match(re.escape(given["BUS_USER"].strip("'\"")) + r":\{SSHA\}[A-Za-z0-9+/=]+\n", line)
    assert given["BUS_PASS"].strip("'\"") not in line


def test_there_is_an_admin_whose_secret_the_installer_names(checkout: Path, tmp_path: Path) -> None:
    told = install(checkout, "--root", tmp_path / "root")
    env = tmp_path / "root/var/lib/claude-bus/admin.env"
    assert str(env) in told
    assert f"BUS_URL=https://{DOMAIN}\nBUS_USER=admin\n" in env.read_text()
    assert re.search(r"^admin:\{SSHA\}[^:]+:admin$", (tmp_path / "root/etc/claude-bus/credentials").read_text(), re.MULTILINE)
    env.unlink()  # kept elsewhere
    install(checkout, "--root", tmp_path / "root")
    assert not env.exists()


def test_the_name_is_filled_in_everywhere(root: Path) -> None:
    installed = ["etc/nginx/sites-available/claude-bus", "etc/letsencrypt/renewal-hooks/deploy/claude-bus"]
    for name in installed:
        text = (root / name).read_text()
        assert DOMAIN in text
        assert "bus.example.org" not in text
    assert os.readlink(root / "etc/nginx/sites-enabled/claude-bus") == "../sites-available/claude-bus"
    shown = [tool("openssl"), "x509", "-noout", "-subject", "-in", root / "etc/ssl/claude-bus/fullchain.pem"]
    assert DOMAIN in told_by(shown).stdout


def test_an_upgrade_takes_old_code_away_and_leaves_what_is_the_servers_own(checkout: Path, root: Path) -> None:
    (root / "opt/claude-bus/bus/left_over.py").write_text("")
    (root / "etc/default").mkdir(exist_ok=True)
    (root / "etc/default/claude-bus").write_text("BUS_WORKERS=4\n")
    (root / "etc/ssl/claude-bus/fullchain.pem").write_text("certbot's")
    (root / "etc/claude-bus-exec/exec.env").write_text("BUS_LXC=incus\n")
    (root / "etc/claude-bus-exec/targets.toml").write_text('[ser8]\ndriver = "ssh"\n')
    (root / "var/lib/claude-bus/bus.jsonl").write_text("{}\n")
    credentials = (root / "etc/claude-bus/credentials").read_text()
    install(checkout, "--root", root)
    assert not (root / "opt/claude-bus/bus/left_over.py").exists()
    assert (root / "opt/claude-bus/.venv").is_symlink()
    assert (root / "etc/default/claude-bus").read_text() == "BUS_WORKERS=4\n"
    assert (root / "etc/claude-bus-exec/exec.env").read_text() == "BUS_LXC=incus\n"
    assert (root / "etc/claude-bus-exec/targets.toml").read_text() == '[ser8]\ndriver = "ssh"\n'
    assert (root / "etc/ssl/claude-bus/fullchain.pem").read_text() == "certbot's"
    assert (root / "var/lib/claude-bus/bus.jsonl").read_text() == "{}\n"
    assert (root / "etc/claude-bus/credentials").read_text() == credentials


def test_only_tracked_files_are_installed(checkout: Path, tmp_path: Path) -> None:
    stray = checkout / "notes-with-a-secret.txt"
    stray.write_text("not for the server")
    try:
        install(checkout, "--root", tmp_path / "root")
    finally:
        stray.unlink()
    assert not (tmp_path / "root/opt/claude-bus" / stray.name).exists()
    assert (tmp_path / "root/opt/claude-bus/bus").is_dir()
    assert not (tmp_path / "root/opt/claude-bus/.git").exists()


def test_the_name_of_the_installed_site_is_kept_when_none_is_given(checkout: Path, root: Path) -> None:
    command = [checkout / "scripts" / "install-server", "--dry-run", "--root", root]
    told = told_by(command)
    assert f"certificate for {DOMAIN}" in told.stdout


@pytest.mark.parametrize("arguments", [["--domain", "a;rm -rf"], ["--domain", "x/y"], ["--nonsense"]])
def test_bad_arguments_are_refused_before_anything_happens(checkout: Path, tmp_path: Path, arguments: list[str]) -> None:
    told = told_by([checkout / "scripts" / "install-server", "--root", tmp_path / "root", *arguments])
    assert told.returncode == 2
    assert told.stderr
    assert not (tmp_path / "root" / "opt").exists()


def test_a_log_is_rotated_by_one_rule_only(checkout: Path, root: Path, tmp_path: Path) -> None:
    rule = root / "etc/logrotate.d/claude-bus"
    assert "/var/log/nginx/claude-bus.*.log" in rule.read_text()
    debian = tmp_path / "debian/etc/logrotate.d/nginx"
    debian.parent.mkdir(parents=True)
    debian.write_text("/var/log/nginx/*.log {\n daily\n}\n")
    install(checkout, "--root", tmp_path / "debian")
    assert not (tmp_path / "debian/etc/logrotate.d/claude-bus").exists()


def test_shellcheck_finds_no_fault() -> None:
    scripts = [ROOT / "scripts/install-server", ROOT / "nginx/certbot-deploy-hook", ROOT / "scripts/measure/password-hash"]
    told = told_by([tool("shellcheck"), *scripts])
    assert told.returncode == 0, told.stdout


def test_certbots_hook_takes_the_new_pair_and_reloads_nginx(root: Path, tmp_path: Path) -> None:
    hook = tmp_path / "hook"
    folder = root / "etc/ssl/claude-bus"
    text = (root / "etc/letsencrypt/renewal-hooks/deploy/claude-bus").read_text()
    hook.write_text(text.replace("/etc/ssl/claude-bus", str(folder)))
    hook.chmod(0o755)
    for name in ("nginx", "systemctl"):
        (tmp_path / name).write_text(f'#!/bin/sh\necho {name} "$@" >> {tmp_path}/calls\n')
        (tmp_path / name).chmod(0o755)
    lineage = tmp_path / "live"
    lineage.mkdir()
    (lineage / "fullchain.pem").write_text("new certificate")
    (lineage / "privkey.pem").write_text("new key")
    environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "RENEWED_LINEAGE": str(lineage)}

    subprocess.run([hook], env={**environ, "RENEWED_DOMAINS": "other.test notbus.test"}, check=True)
    assert (folder / "fullchain.pem").read_text() != "new certificate"
    assert not (tmp_path / "calls").exists()
    for _ in range(2):
        subprocess.run([hook], env={**environ, "RENEWED_DOMAINS": f"other.test {DOMAIN}"}, check=True)
    assert (folder / "fullchain.pem").read_text() == "new certificate"
    assert (folder / "privkey.pem").read_text() == "new key"
    assert (tmp_path / "calls").read_text().splitlines() == ["nginx -t -q", "systemctl reload nginx"] * 2
