"""scripts/install-server, into a scratch root. It runs from a git checkout made of this one.

Never without --root, not even as a dry run: were the dry run broken, the test would install the hub
on this machine.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .harness import ROOT, told_by, tool

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("install")]

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
        names = git("ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT).split(
            "\0"
        )
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


def installing(
    checkout: Path, *arguments: str | Path, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run the installer with the virtual environment of these tests."""
    environ = {**os.environ, "CLAUDE_BUS_VENV": sys.prefix, "PYTHONDONTWRITEBYTECODE": "1"}
    return told_by(
        [checkout / "scripts" / "install-server", "--domain", DOMAIN, *arguments],
        env=environ,
        **options,
    )


def install(checkout: Path, *arguments: str | Path, **options: Any) -> str:
    """The same where it must work; gives what it printed."""
    told = installing(checkout, *arguments, **options)
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


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, checkout: Path) -> Path:
    """A root with the hub installed in it, to be copied."""
    folder = tmp_path_factory.mktemp("installed") / "root"
    install(checkout, "--root", folder)
    return folder


@pytest.fixture
def root(tmp_path: Path, installed: Path) -> Path:
    """A scratch root with the hub installed in it."""
    return Path(shutil.copytree(installed, tmp_path / "root", symlinks=True))


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
    assert modes["opt/claude-bus-files"] == "0o3770"  # sticky: nobody deletes another's
    assert modes["var/lib/claude-bus-exec"] == "0o700"
    assert modes["etc/claude-bus-exec"] == "0o750"
    assert modes["etc/claude-bus-exec/targets.toml"] == "0o640"
    assert modes["var/lib/claude-bus/claude-bus.env"] == "0o600"
    assert modes["var/lib/claude-bus/admin.env"] == "0o600"
    assert modes["var/log/nginx/claude-bus.access.log"] == "0o640"
    assert modes["etc/ssl/claude-bus"] == "0o700"
    assert modes["etc/ssl/claude-bus/privkey.pem"] == "0o600"


def install_where(checkout: Path, root: Path, tmp_path: Path, groups: dict[str, str]) -> list[str]:
    """Install on a machine whose users have these groups; gives the commands that it would run
    there.
    """
    tools = tmp_path / "tools"
    tools.mkdir(exist_ok=True)
    users = "".join(f'{name}) echo "{given}" ;;\n' for name, given in groups.items())
    (tools / "id").write_text(
        f'#!/bin/sh\n[ "$1" = -nG ] || exec /usr/bin/id "$@"\ncase $2 in {users} *) exit 1 ;;'
        " esac\n"
    )
    known = "|".join(
        {"passwd " + name for name in groups}
        | {"group " + name for given in groups.values() for name in given.split()}
    )
    (tools / "getent").write_text(
        f'#!/bin/sh\ncase "$*" in {known.replace(" ", chr(92) + " ")}) ;; *) exit 2 ;; esac\n'
    )
    for tool_file in tools.iterdir():
        tool_file.chmod(0o755)
    environ = {**os.environ, "CLAUDE_BUS_VENV": sys.prefix, "PATH": f"{tools}:{os.environ['PATH']}"}
    told = told_by(
        [checkout / "scripts" / "install-server", "--domain", DOMAIN, "--root", root], env=environ
    )
    assert told.returncode == 0, told.stdout[-2000:] + told.stderr
    return [
        line.replace("(not below --root)", "").strip()
        for line in told.stdout.splitlines()
        if line.startswith("    ")
    ]


def test_each_user_gets_the_groups_that_it_needs(checkout: Path, tmp_path: Path) -> None:
    """tests/edge/test_doors.py shows what these let them do."""
    steps = install_where(
        checkout, tmp_path / "root", tmp_path, {"www-data": "www-data", "root": "root"}
    )
    made = [step for step in steps if re.match(r"useradd|usermod|groupadd|gpasswd", step)]
    assert made == [
        (
            "useradd --system --user-group --home-dir /var/lib/claude-bus --no-create-home --shell"
            " /usr/sbin/nologin claude-bus"
        ),
        (
            "useradd --system --gid claude-bus --home-dir /var/lib/claude-bus-exec --no-create-home"
            " --shell /usr/sbin/nologin claude-bus-exec"
        ),
        "groupadd --force --system claude-bus-web",
        "groupadd --force --system claude-bus-files",  # nobody is in it
        "usermod --append --groups claude-bus-web www-data",
        "usermod --append --groups claude-bus-web claude-bus-exec",
    ]
    # A running nginx is in the new group before the credentials are.
    order = [
        "groups claude-bus-web www-data",
        "try-reload-or-restart nginx",
        "chown claude-bus:claude-bus-web /etc/claude-bus",
    ]
    places = [next(at for at, step in enumerate(steps) if wanted in step) for wanted in order]
    assert places == sorted(places)


@pytest.mark.parametrize("group", ["lxd", "incus-admin"])
def test_only_the_service_that_runs_commands_gets_the_socket_of_lxd(
    checkout: Path, tmp_path: Path, group: str
) -> None:
    steps = install_where(
        checkout, tmp_path / "root", tmp_path, {"www-data": "www-data", "somebody": group}
    )
    assert [step for step in steps if group in step] == [
        f"usermod --append --groups {group} claude-bus-exec"
    ]


def test_a_server_with_one_user_becomes_one_with_two(
    checkout: Path, root: Path, tmp_path: Path
) -> None:
    """As it was before: everything the hub's alone, and nginx in its group."""
    data = root / "var/lib/claude-bus"
    (data / "run").mkdir(mode=0o700)
    for name in (
        "bus.jsonl",
        "bus-1.jsonl",
        "index.db",
        "run/append.lock",
        "backup-2026/bus.jsonl",
    ):
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
    environ = {
        **os.environ,
        "BUS_DATA_DIR": str(data),
        "BUS_CREDENTIALS": str(root / "etc/claude-bus/credentials"),
    }
    assert told_by(init, cwd=checkout, env=environ).returncode == 0
    modes = {name: mode for name, (mode, _) in tree(data).items()}
    shared = ("bus.jsonl", "bus-1.jsonl", "index.db", "run", "run/append.lock")
    assert {name: modes[name] for name in shared} == {
        name: "0o770" if name == "run" else "0o660" for name in shared
    }
    own = {
        "admin.env": "0o600",
        "claude-bus.env": "0o600",
        "backup-2026": "0o2700",
        "backup-2026/bus.jsonl": "0o600",
    }
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
    assert f"BUS_URL='https://{DOMAIN}'\nBUS_USER='admin'\n" in env.read_text()
    assert re.search(
        r"^admin:\{SSHA\}[^:]+:admin$",
        (tmp_path / "root/etc/claude-bus/credentials").read_text(),
        re.MULTILINE,
    )
    env.unlink()  # kept elsewhere
    install(checkout, "--root", tmp_path / "root")
    assert not env.exists()


def test_the_name_is_filled_in_everywhere(root: Path) -> None:
    installed = [
        "etc/nginx/sites-available/claude-bus",
        "etc/letsencrypt/renewal-hooks/deploy/claude-bus",
    ]
    for name in installed:
        text = (root / name).read_text()
        assert DOMAIN in text
        assert "bus.example.org" not in text
    assert (
        os.readlink(root / "etc/nginx/sites-enabled/claude-bus") == "../sites-available/claude-bus"
    )
    shown = [
        tool("openssl"),
        "x509",
        "-noout",
        "-subject",
        "-in",
        root / "etc/ssl/claude-bus/fullchain.pem",
    ]
    assert DOMAIN in told_by(shown).stdout


def test_an_upgrade_takes_old_code_away_and_leaves_what_is_the_servers_own(
    checkout: Path, root: Path
) -> None:
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


def test_the_name_of_the_installed_site_is_kept_when_none_is_given(
    checkout: Path, root: Path
) -> None:
    command = [checkout / "scripts" / "install-server", "--dry-run", "--root", root]
    told = told_by(command)
    assert f"certificate for {DOMAIN}" in told.stdout


@pytest.mark.parametrize(
    "arguments", [["--domain", "a;rm -rf"], ["--domain", "x/y"], ["--nonsense"]]
)
def test_bad_arguments_are_refused_before_anything_happens(
    checkout: Path, tmp_path: Path, arguments: list[str]
) -> None:
    told = told_by(
        [checkout / "scripts" / "install-server", "--root", tmp_path / "root", *arguments]
    )
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
    scripts = [
        ROOT / "scripts/install-server",
        ROOT / "nginx/certbot-deploy-hook",
        ROOT / "scripts/measure/password-hash",
    ]
    told = told_by([tool("shellcheck"), *scripts])
    assert told.returncode == 0, told.stdout


def test_a_checkout_with_the_line_ends_of_windows_has_scripts_without(
    checkout: Path, tmp_path: Path
) -> None:
    clone = tmp_path / "clone"
    git("clone", "-q", "--config", "core.autocrlf=true", str(checkout), str(clone), cwd=tmp_path)
    files = [clone / name for name in git("ls-files", cwd=clone).splitlines()]
    assert clone / "scripts" / "run" in files
    assert [path for path in files if b"\r\n" in path.read_bytes()] == []


def make_pair(folder: Path, name: str = DOMAIN) -> None:
    """A self-signed pair under certbot's names."""
    folder.mkdir(exist_ok=True)
    key = [
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-noenc",
        "-keyout",
        folder / "privkey.pem",
    ]
    named = [
        "-subj",
        f"/CN={name}",
        "-addext",
        f"subjectAltName=DNS:{name}",
        "-out",
        folder / "fullchain.pem",
    ]
    made = told_by([tool("openssl"), "req", "-x509", "-days", "2", *key, *named])
    assert made.returncode == 0, made.stderr


@pytest.fixture
def hook(root: Path, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs certbot's hook for a folder, below the scratch root: `hook(lineage, nginx=1)` where
    nginx refuses.
    """
    script = tmp_path / "hook"
    text = (root / "etc/letsencrypt/renewal-hooks/deploy/claude-bus").read_text()
    script.write_text(text.replace("/etc/ssl/claude-bus", str(root / "etc/ssl/claude-bus")))
    script.chmod(0o755)

    def run(
        lineage: Path, domains: str = f"other.test {DOMAIN}", nginx: int = 0
    ) -> subprocess.CompletedProcess[str]:
        for name, code in (("nginx", nginx), ("systemctl", 0)):
            (tmp_path / name).write_text(
                f'#!/bin/sh\necho {name} "$@" >> {tmp_path}/calls\nexit {code}\n'
            )
            (tmp_path / name).chmod(0o755)
        environ = {
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "RENEWED_LINEAGE": str(lineage),
            "RENEWED_DOMAINS": domains,
        }
        return told_by([script], env=environ)

    return run


Hook = Callable[..., subprocess.CompletedProcess[str]]


def test_certbots_hook_takes_the_new_pair_and_reloads_nginx(
    root: Path, tmp_path: Path, hook: Hook
) -> None:
    make_pair(tmp_path / "live")
    before = tree(root / "etc/ssl/claude-bus")
    assert hook(tmp_path / "live", "other.test notbus.test").returncode == 0
    assert tree(root / "etc/ssl/claude-bus") == before
    assert not (tmp_path / "calls").exists()
    for _ in range(2):
        told = hook(tmp_path / "live")
        assert told.returncode == 0, told.stderr
    assert {name: holds for name, (_, holds) in tree(root / "etc/ssl/claude-bus").items()} == {
        name: f"-> {tmp_path}/live/{name}" for name in ("fullchain.pem", "privkey.pem")
    }
    assert (tmp_path / "calls").read_text().splitlines() == [
        "nginx -t -q",
        "systemctl reload nginx",
    ] * 2


@pytest.mark.parametrize("spoilt", ["fullchain.pem", "privkey.pem", "both"])
def test_certbots_hook_leaves_the_old_pair_when_the_new_one_does_not_fit(
    root: Path, tmp_path: Path, hook: Hook, spoilt: str
) -> None:
    make_pair(tmp_path / "live")
    make_pair(tmp_path / "other")
    if spoilt == "both":
        (tmp_path / "live/privkey.pem").write_bytes((tmp_path / "other/privkey.pem").read_bytes())
    else:
        (tmp_path / "live" / spoilt).write_text("no PEM")
    before = tree(root / "etc/ssl/claude-bus")
    told = hook(tmp_path / "live")
    assert (told.returncode, "goes on with the pair that it has" in told.stderr) == (
        1,
        True,
    ), told.stderr
    assert tree(root / "etc/ssl/claude-bus") == before
    assert not (tmp_path / "calls").exists()


def test_certbots_hook_puts_the_old_pair_back_when_nginx_refuses_the_new_one(
    root: Path, tmp_path: Path, hook: Hook
) -> None:
    make_pair(tmp_path / "live")
    before = tree(root / "etc/ssl/claude-bus")
    assert hook(tmp_path / "live", nginx=1).returncode == 1
    assert tree(root / "etc/ssl/claude-bus") == before
    assert (tmp_path / "calls").read_text().splitlines() == ["nginx -t -q"]


def names_of(certificate: Path) -> str:
    return told_by(
        [tool("openssl"), "x509", "-noout", "-ext", "subjectAltName", "-in", certificate]
    ).stdout


def test_a_new_name_gets_a_certificate_of_its_own(checkout: Path, root: Path) -> None:
    told = install(checkout, "--root", root, "--domain", "new.test")
    assert "NOTE: The certificate (DNS:bus.test) was remade for new.test" in told
    folder = root / "etc/ssl/claude-bus"
    assert "DNS:new.test" in names_of(folder / "fullchain.pem")
    assert {name: mode for name, (mode, _) in tree(folder).items()}["privkey.pem"] == "0o600"
    asked = [
        ["x509", "-noout", "-pubkey", "-in", folder / "fullchain.pem"],
        ["pkey", "-pubout", "-in", folder / "privkey.pem"],
    ]
    of_certificate, of_key = (told_by([tool("openssl"), *command]).stdout for command in asked)
    assert of_certificate == of_key != ""


@pytest.mark.parametrize("is_link", [True, False])
def test_a_certificate_of_somebody_else_is_kept_and_said_to_be_for_another_name(
    checkout: Path, root: Path, tmp_path: Path, is_link: bool
) -> None:
    folder = root / "etc/ssl/claude-bus"
    if is_link:  # certbot's
        make_pair(tmp_path / "live")
        for name in ("fullchain.pem", "privkey.pem"):
            (folder / name).unlink()
            (folder / name).symlink_to(tmp_path / "live" / name)
    else:
        (folder / "fullchain.pem").write_text("of a kind that openssl does not read")
    before = tree(folder)
    assert "is not good for new.test, or over. It is kept" in install(
        checkout, "--root", root, "--domain", "new.test"
    )
    assert tree(folder) == before


def test_a_closed_umask_closes_nothing_that_others_need(
    checkout: Path, tmp_path: Path, root: Path
) -> None:
    install(checkout, "--root", tmp_path / "closed", umask=0o077)
    open_ones = {name: mode for name, (mode, _) in tree(root).items()}
    assert {name: mode for name, (mode, _) in tree(tmp_path / "closed").items()} == open_ones


@pytest.mark.parametrize(
    "name",
    [
        "var/lib/claude-bus/admin.env",
        "var/lib/claude-bus/claude-bus.env",
        "etc/claude-bus/credentials",
    ],
)
@pytest.mark.parametrize("kind", ["folder", "link"])
def test_what_must_be_a_file_of_the_hub_and_is_none_stops_an_upgrade_before_it_begins(
    checkout: Path, root: Path, name: str, kind: str
) -> None:
    (root / name).unlink()
    if kind == "folder":
        (root / name).mkdir()
    else:
        (root / name).symlink_to("/etc/hostname")
    (root / "opt/claude-bus/bus/left_over.py").write_text("")
    before = tree(root)
    told = installing(checkout, "--root", root)
    assert told.returncode == 1
    assert f"{root / name} is a link, or no file" in told.stderr
    assert tree(root) == before


def test_what_goes_wrong_before_the_exchange_leaves_the_old_code(
    checkout: Path, root: Path
) -> None:
    """A file of the hub that turns bad while the installer runs, here as its very first step with
    the hub's files.
    """
    (root / "etc/claude-bus/credentials").write_text(
        ""
    )  # so that an admin is made anew, for which there is no room
    (root / "var/lib/claude-bus/admin.env").unlink()
    (root / "opt/claude-bus/bus/left_over.py").write_text("")
    tools = root.parent / "tools"
    tools.mkdir()
    (tools / "env").write_text(
        f'#!/bin/sh\nmkdir {root}/var/lib/claude-bus/admin.env\nexec /usr/bin/env "$@"\n'
    )
    (tools / "env").chmod(0o755)
    environ = {**os.environ, "CLAUDE_BUS_VENV": sys.prefix, "PATH": f"{tools}:{os.environ['PATH']}"}
    script = checkout / "scripts" / "install-server"
    told = told_by(["/bin/bash", script, "--domain", DOMAIN, "--root", root], env=environ)
    assert told.returncode == 2, told.stdout
    assert (root / "opt/claude-bus/bus/left_over.py").exists()


def test_messages_of_another_bus_in_the_codes_place_are_not_thrown_away(
    checkout: Path, tmp_path: Path
) -> None:
    old = tmp_path / "root/opt/claude-bus/data/bus.jsonl"
    old.parent.mkdir(parents=True)
    old.write_text('{"id":1,"from":"a","body":"of an older bus"}\n')
    before = tree(tmp_path / "root")
    told = installing(checkout, "--root", tmp_path / "root")
    assert (told.returncode, str(old) in told.stderr) == (1, True)
    assert tree(tmp_path / "root") == before


OLD_PLACES = {
    "opt/claude-bus/data/bus.jsonl": "/var/lib/claude-bus/bus.jsonl",
    "var/log/claude-bus-access.log": "/var/log/nginx/claude-bus.access.log",
    "var/log/claude-bus-error.log": "/var/log/nginx/claude-bus.error.log",
    "etc/nginx/.htpasswd-claude-bus": "/etc/claude-bus/credentials",
}


def test_links_at_the_old_places_are_made_when_asked_for_and_stay(
    checkout: Path, root: Path
) -> None:
    assert not any((root / place).is_symlink() for place in OLD_PLACES)
    (root / "var/log/claude-bus-error.log").write_text("of the old hub")
    install(checkout, "--root", root, "--old-places")
    install(checkout, "--root", root)  # an upgrade takes all code away
    assert (root / "var/log/claude-bus-error.log").read_text() == "of the old hub"
    links = {
        place: os.readlink(root / place) for place in OLD_PLACES if (root / place).is_symlink()
    }
    assert links == {
        place: to for place, to in OLD_PLACES.items() if place != "var/log/claude-bus-error.log"
    }


def test_settings_of_an_older_version_move_to_where_the_hub_cannot_write(
    checkout: Path, root: Path
) -> None:
    (root / "etc/claude-bus/hub.env").write_text("BUS_WORKERS=4\n")
    install(checkout, "--root", root)
    moved = root / "etc/default/claude-bus"
    assert (moved.read_text(), oct(moved.stat().st_mode & 0o777)) == ("BUS_WORKERS=4\n", "0o640")
    assert not (root / "etc/claude-bus/hub.env").exists()
    # What is put there later, by the hub, is nothing of root's to read.
    moved.unlink()
    (root / "etc/claude-bus/hub.env").symlink_to("/etc/hostname")
    assert installing(checkout, "--root", root).returncode == 1
    assert not moved.exists()
