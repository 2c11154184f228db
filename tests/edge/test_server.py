"""A whole server: systemd, nginx, both services, as scripts/install-server makes it; installed,
upgraded, killed and restarted.

One server for all tests, in a container of a private LXD: it takes a minute or two to make, so each
test leaves it well.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator

import pytest

from .harness import ROOT
from .machine import DOMAIN, PYTHON, Server, commands_below

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("server")]

SCRIPT = str(ROOT / "scripts" / "server-for-tests")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the hub installed on it, and both its secrets in /root."""
    missing = [
        name for name in ("lxd", "lxc", "busybox", "debootstrap") if shutil.which(name) is None
    ]
    if os.geteuid() != 0 or missing:
        why = f"a server of its own needs root{''.join(', ' + name for name in missing)}"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(why)
    folder = tempfile.mkdtemp(prefix="ls", dir="/tmp")  # short: sockets lie in it
    try:
        subprocess.run([SCRIPT, "start", folder], check=True, timeout=900)
        made = Server({**os.environ, "LXD_DIR": f"{folder}/lxd", "LXD_CONF": f"{folder}/client"})
        made.prepare(tmp_path_factory.mktemp("server"))
        made.install()
        made.keep_secrets()
        made.is_well()
        yield made
    finally:
        subprocess.run([SCRIPT, "stop", folder], check=True, timeout=300)


def post(server: Server, text: str) -> str:
    """Post a message; gives its id."""
    status, message = server.ask("/post", body={"from": "here", "to": "there", "body": text})
    assert status == 201, message
    return str(message["id"])


def test_a_server_that_was_installed_under_a_closed_umask_works(server: Server) -> None:
    assert server.sh("find /opt/claude-bus ! -type l ! -perm -o=r") == ""
    id = post(server, "first")
    assert server.ask(f"/messages/{id}")[1]["body"] == "first"
    assert (
        server.sh("systemctl is-enabled claude-bus claude-bus-exec nginx").split()
        == ["enabled"] * 3
    )
    # What such a umask once spoilt is mended by another installation.
    server.sh("chmod -R go= /opt/claude-bus/.venv")
    server.install()
    server.is_well()


def test_a_client_that_trusts_its_certificate_reaches_it(server: Server) -> None:
    """As docs/deploy.md says; a Python of the strict kind takes it too."""
    told = server.run(server.bus("doctor"))
    assert (told.returncode, "FAIL" in told.stdout) == (0, False), told.stdout
    strict = (
        "import socket, ssl; own = '/etc/ssl/claude-bus/fullchain.pem'; trust ="
        " ssl.create_default_context(cafile=own); trust.verify_flags |= ssl.VERIFY_X509_STRICT;"
        " plain = socket.create_connection(('127.0.0.1', 443)); trust.wrap_socket(plain,"
        f" server_hostname='{DOMAIN}')"
    )
    server.sh(f"python3 -c {shlex.quote(strict)}")


@pytest.mark.parametrize("unit", ["claude-bus", "claude-bus-exec"])
def test_a_service_writes_in_its_own_folders_only(server: Server, unit: str) -> None:
    within = f"nsenter --target $(systemctl show --property MainPID --value {unit}) --mount"
    own = "/run/claude-bus" if unit == "claude-bus" else "/run/claude-bus-exec"
    for place in (own, "/var/lib/claude-bus"):
        server.sh(f"{within} touch {place}/probe; rm {place}/probe")
    for place in ("/run", "/run/systemd", "/etc", "/opt/claude-bus", "/usr", "/var/lib"):
        # lxc exec loses the stderr of a short run now and then, not its stdout.
        assert "Read-only" in server.run(f"{within} touch {place}/probe 2>&1").stdout, place


CURL = '. /root/claude.env; curl -skf -u "$BUS_USER:$BUS_PASS"'


def test_a_file_is_stored_where_nginx_may_read_it_and_nobody_else(server: Server) -> None:
    """The hub knows no other users than its own; the folder hands the group of nginx on."""
    server.sh("head -c 3000000 /dev/urandom > /root/sent")
    path = "/files?name=build.bin&from=here&to=there"
    (one,) = json.loads(server.sh(f'{CURL} -T /root/sent "$BUS_URL{path}"'))["attachments"]
    server.sh(f'{CURL} -o /root/got "$BUS_URL{one["url"]}"; cmp /root/sent /root/got')
    folder = "/var/lib/claude-bus-attachments"
    shard = f"{folder}/{one['sha256'][:2]}"
    stored = f"{shard}/{one['sha256']}"
    assert server.sh(f"stat -c '%U:%G %a' {folder} {shard} {stored}").splitlines() == [
        "claude-bus:claude-bus-web 2750",
        "claude-bus:claude-bus-web 2750",
        "claude-bus:claude-bus-web 640",
    ]
    server.sh(f"runuser -u www-data -- cat {stored} | cmp - /root/sent")
    assert server.run(f"runuser -u nobody -- cat {stored}").returncode == 1
    checked = "BUS_DATA_DIR=/var/lib/claude-bus BUS_FILES_DIR=" + folder
    told = server.sh(
        f"runuser -u claude-bus -- env -C /opt/claude-bus {checked} {PYTHON} -m bus verify --files"
    )
    assert f"attachments in {folder}: 1 read, 0 damaged" in told


# Takes notices, and prints them.
RECEIVER = """
import http.server
class Take(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        print(self.rfile.read(int(self.headers["Content-Length"])).decode(), flush=True)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", 7999), Take).serve_forever()
"""
NOTIFY = """
[services.pager]
type = "http"
url = "http://127.0.0.1:7999/"
[[rules]]
send = "pager"
"""


def test_notices_are_sent_once_the_settings_are_written(server: Server) -> None:
    """By the lines at the head of the unit."""
    settings, unit = "/var/lib/claude-bus/notify.toml", "claude-bus-notify"
    assert server.run(f"systemctl is-active {unit}").stdout == "inactive\n"
    server.sh(f"install -o claude-bus -g claude-bus -m 600 /dev/stdin {settings} <<'E'\n{NOTIFY}E")
    server.sh(f"systemctl enable --now {unit}")
    server.until(f"journalctl -u {unit} | grep -q 'notices are sent'")
    server.sh(f"systemd-run --quiet --unit receiver python3 -c {shlex.quote(RECEIVER)}")
    post(server, "told outside")
    server.until("journalctl -o cat -u receiver | grep -q 'told outside'")
    # What comes while the service is away is told when it is back. Its end takes nothing of the
    # hub's away, whose user it has.
    server.sh(f"systemctl stop {unit}")
    server.sh("ls -d /dev/shm/claude-bus-metrics-*")
    post(server, "told later")
    server.sh(f"systemctl start {unit}")
    server.until("journalctl -o cat -u receiver | grep -q 'told later'")
    server.sh(f"systemctl disable --now {unit}; systemctl stop receiver; rm {settings}")
    server.is_well()


# Waits, as the hub's user, until the installer has changed a file of the hub's, then puts a link in
# the place of another.
THIEF = """
import os
watched = "/var/lib/claude-bus/admin.env"
target, link = "/etc/claude-bus/credentials", "/etc/claude-bus/link"
os.symlink("/root/secret", link)
before = os.stat(watched).st_ino
print("ready", flush=True)
while os.stat(watched).st_ino == before:
    pass
os.rename(target, target + ".kept")
os.rename(link, target)
"""


def test_the_hubs_user_gets_no_file_of_roots(server: Server) -> None:
    server.sh("umask 077; echo secret > /root/secret")
    with server.start(f"runuser -u claude-bus -- python3 -c {shlex.quote(THIEF)}") as thief:
        assert thief.stdout is not None and thief.stdout.readline() == "ready\n"
        told = server.run(
            "cd /root/src; PIP_NO_INDEX=1 PIP_FIND_LINKS=/root/wheels scripts/install-server"
            f" --domain {DOMAIN} 2>&1"
        )
        assert thief.wait(60) == 0
    assert server.sh("stat -c '%U:%G %a' /root/secret; cat /root/secret") == "root:root 600\nsecret"
    assert told.returncode != 0  # the credentials are gone: that is seen, and nothing else is done
    # Moved away by the operator, as the next try says.
    assert (
        "is a link, or no file"
        in server.run(f"cd /root/src; scripts/install-server --domain {DOMAIN}").stderr
    )
    server.sh(
        "rm /etc/claude-bus/credentials; runuser -u claude-bus -- mv"
        " /etc/claude-bus/credentials{.kept,}"
    )
    server.install("--no-venv")
    server.is_well()


# Asks until a file is there; gives the statuses and how often each came.
CALLER = """
import collections, json, os, requests, sys, urllib3
urllib3.disable_warnings()
seen = collections.Counter()
while not os.path.exists("/root/enough"):
    try:
        key = {"Idempotency-Key": f"load-{sum(seen.values())}"}
        fields = {"from": "load", "to": "there", "body": "x"}
        who = (os.environ["BUS_USER"], os.environ["BUS_PASS"])
        url = os.environ["BUS_URL"] + "/post"
        answer = requests.post(url, json=fields, headers=key, auth=who, verify=False, timeout=30)
        seen[answer.status_code] += 1
    except requests.RequestException:
        seen["broken"] += 1
    if sum(seen.values()) == 5:
        print("ready", flush=True)
print(json.dumps(seen))
"""
PYTHON_OF_LOAD = "/root/load-venv/bin/python"  # the hub's own would be exchanged under it

# How a server was whose hub ran the commands too: nginx in the group of the hub, and no group for
# the web alone.
ONE_SERVICE = """
systemctl disable --now claude-bus-exec 2>&1
gpasswd --delete www-data claude-bus-web; gpasswd --add www-data claude-bus
chown -h claude-bus:claude-bus /etc/claude-bus /etc/claude-bus/credentials
chmod 2750 /etc/claude-bus
chgrp claude-bus /run/claude-bus; systemctl restart nginx
"""


def test_an_upgrade_from_the_version_with_one_service_answers_or_asks_to_come_back(
    server: Server,
) -> None:
    server.sh(ONE_SERVICE + "rm -f /root/enough")
    caller = f"set -a; . /root/claude.env; set +a; {PYTHON_OF_LOAD} -c {shlex.quote(CALLER)}"
    server.sh("cp -a /opt/claude-bus/.venv /root/load-venv")
    before = int(server.ask("/health")[1]["count"])
    with server.start(caller) as load:
        assert load.stdout is not None and load.stdout.readline() == "ready\n"
        server.install("--no-venv")
        server.is_well()
        server.sh("touch /root/enough")
        out, err = load.communicate(timeout=60)
    seen = json.loads(out)
    assert set(seen) <= {"201", "502"}, (seen, err)
    assert int(server.ask("/health")[1]["count"]) - before == seen["201"]
    assert server.sh("id -nG www-data").split() == ["www-data", "claude-bus-web"]


def test_a_restart_of_the_hub_does_not_wait_for_a_command_that_runs(server: Server) -> None:
    table = '[box]\\ndriver = "local"\\nfolder = "/var/lib/claude-bus-exec/box"\\n'
    server.sh(f"printf '{table}' > /etc/claude-bus-exec/targets.toml")
    server.sh(server.bus("permit admin box", "admin"))
    with server.start(
        server.bus("exec box --timeout 5m -c 'echo begun; sleep 200'", "admin")
    ) as caller:
        assert caller.stdout is not None and caller.stdout.readline() == "begun\n"
        server.sh("systemctl restart claude-bus")
        server.is_well()
        # If the restart waited for the command, it would have ended. -x: the caller's own command
        # line has the words too.
        server.sh("pgrep -xf 'sleep 200'")
        server.sh("systemctl restart claude-bus-exec")
        assert server.run("pgrep -xf 'sleep 200'").returncode == 1
        caller.kill()
    server.is_well()


def test_nothing_is_lost_when_it_is_killed_or_the_machine_restarts(server: Server) -> None:
    ids = [post(server, "before a kill")]
    server.sh("systemctl kill --kill-who=all --signal=KILL claude-bus")
    server.is_well()
    ids.append(post(server, "before a power cut"))
    subprocess.run(
        ["lxc", "restart", "--force", "server"],
        env=server.lxd,
        check=True,
        timeout=120,
        capture_output=True,
    )
    server.until("systemctl is-system-running --wait | grep -qE 'running|degraded'")
    server.until(f"grep -q {DOMAIN} /etc/hosts || echo 127.0.0.1 {DOMAIN} >> /etc/hosts")
    server.is_well()
    assert [server.ask(f"/messages/{id}")[0] for id in ids] == [200, 200]


# What names the product, or has no owner any more. /root has the operator's checkout,
# /var/log/journal is told to stay.
LEFT = """
find / /run /tmp /dev/shm -xdev \\
    \\( -path /root -o -path /proc -o -path /sys -o -path /var/log/journal \\) -prune -o \\
    \\( -iname '*claude*bus*' -o -nouser -o -nogroup \\) -print
grep -rl claude.bus /etc --exclude='*-' || true
getent passwd group | grep claude || true
systemctl list-units --all --no-legend --plain | grep claude.bus || true
ls -l /proc/[0-9]*/cwd 2>/dev/null | grep claude-bus || true
"""


def test_a_removal_leaves_nothing_and_a_backup_comes_back_on_the_rebuilt_server(
    server: Server,
) -> None:
    """By the lines of docs/deploy.md."""
    kept = post(server, "before the backup")
    secret = server.hub("credential add web1")
    server.sh(
        f"umask 077; (grep BUS_URL /root/claude.env; printf '%s\\n' {secret}) > /root/web1.env"
    )
    backup, restore = commands_below("Backup")
    server.sh(backup)
    server.sh("mv /var/lib/claude-bus/backup-* /root/backup")
    lost = post(server, "after the backup")
    for block in commands_below("Remove"):
        server.sh(block)
    assert server.sh(LEFT) == ""
    server.in_checkout(restore)
    server.is_well()
    assert server.ask(f"/messages/{kept}", user="web1")[1]["body"] == "before the backup"
    assert server.ask(f"/messages/{lost}")[0] == 404
    assert [
        server.ask("/api/me", user=user)[1]["role"] for user in ("claude", "admin", "web1")
    ] == ["shared", "admin", "member"]
    assert server.ask(f"/messages/{post(server, 'goes on')}")[0] == 200
    assert "the log is good" in server.hub("verify")
    server.sh("rm -r /var/lib/claude-bus.fresh /root/backup")
