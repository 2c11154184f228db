"""What every driver promises: one suite over a folder, a machine and a container."""

from __future__ import annotations

import os
import random
import re
import secrets
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from bus.errors import (
    BadField,
    BusError,
    DriverUnavailable,
    FileChanged,
    FileRefused,
    NoSuchFile,
    NoSuchFolder,
    NoSuchProgram,
    NoSuchSnapshot,
    NoSuchUser,
    NotAFile,
    NotSupported,
    PathMoved,
    SnapshotExists,
    TargetBusy,
    TargetFailed,
    TargetStopped,
    TooLarge,
    UnknownTarget,
)
from bus.runner.drivers import files, scripts
from bus.runner.drivers.base import Ended, Output, Printed, Run, Write
from bus.runner.drivers.container import ContainerDriver
from bus.runner.drivers.local import LocalDriver
from bus.runner.drivers.lxc import LxcDriver
from bus.runner.drivers.posix import PosixDriver
from bus.runner.drivers.process import Command, said
from bus.runner.drivers.ssh import SshDriver
from bus.runner.drivers.table import Machine
from tests.client.http.test_ssh import Sshd
from tests.conftest import free_port, wait_until
from tests.runner.drivers.conftest import Place, alive

MIB = 1 << 20
HOSTILE = [
    "-foo",
    "--help",
    "--",
    "local:x",
    "x/snap",
    "../x",
    ";id",
    "$(id)",
    "`id`",
    "a\nb",
    "'\"\\",
    "",
    " ",
    "é\u2028",
    "%s",
    "*",
]


@pytest.mark.parametrize("code", [0, 1, 7, 126, 127, 200, 255])
def test_the_exit_code_is_the_programs(place: Place, code: int) -> None:
    ended = place.run("sh", "-c", f"echo out; echo err >&2; exit {code}")
    assert (ended.exit_code, ended.stdout.data, ended.stderr.data) == (code, b"out\n", b"err\n")
    assert (ended.timed_out, ended.cancelled, ended.leaked) == (False, False, 0)


@pytest.mark.parametrize(("name", "code"), [("TERM", 143), ("KILL", 137), ("HUP", 129)])
def test_a_signal_is_128_and_its_number(place: Place, name: str, code: int) -> None:
    ended = place.run("sh", "-c", f"kill -{name} $$")
    assert (ended.exit_code, ended.stderr.data) == (code, b"")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("Error: Command not found", 127),
        ("Error: Instance is not running", 1),
        ("Error: Instance not found", 1),
        ("ssh: connect to host x port 22: Connection refused", 255),
        ("sh: 1: exec: x: not found", 127),
    ],
)
def test_a_program_that_talks_like_a_driver_is_not_misread(
    place: Place, words: str, code: int
) -> None:
    ended = place.run("sh", "-c", 'echo "$1" >&2; exit $2', "sh", words, str(code))
    assert (ended.exit_code, ended.stderr.data) == (code, words.encode() + b"\n")


@pytest.mark.parametrize(
    "program", ["no-such-program", "/no/such/program", "/etc/passwd", "/etc", "", "-v"]
)
def test_what_is_no_program_is_told(place: Place, program: str) -> None:
    with pytest.raises(NoSuchProgram):
        place.run(program, "x")


def test_a_bash_that_finds_no_program_has_run(place: Place) -> None:
    ended = place.run("bash", "-c", "no-such-program")
    assert ended.exit_code == 127
    assert b"no-such-program" in ended.stderr.data


def test_arguments_variables_and_folders_arrive_as_they_are(place: Place) -> None:
    ended = place.run(
        "sh", "-c", 'printf "%s\\0" "$@" "$X"', "sh", *HOSTILE, env={"X": "-a b\n$(id) 'é"}
    )
    assert ended.stdout.data.decode().split("\0")[:-1] == [*HOSTILE, "-a b\n$(id) 'é"]
    for folder in ("-x", "--help", "$(id)", "a\nb", "'\"\\", " é", "\\", "*"):
        place.sh('mkdir -p -- "./$1"', folder)
        assert (
            place.run("pwd", cwd=f"{place.folder}/{folder}").stdout.data.decode()
            == f"{place.inner}/{folder}\n"
        )


def test_a_nul_is_refused(place: Place) -> None:
    with pytest.raises(BadField):
        place.run("echo", "a\0b")


def test_arguments_that_are_too_long_for_the_system_are_refused(place: Place) -> None:
    with pytest.raises(TooLarge):
        place.run("echo", "x" * MIB)


def test_a_working_folder_that_is_missing_is_told(place: Place) -> None:
    place.sh("echo x >file")
    for cwd in ("/no/such", f"{place.folder}/file"):
        with pytest.raises(NoSuchFolder):
            place.run("pwd", cwd=cwd)


def test_without_a_folder_it_is_the_home(place: Place) -> None:
    assert place.sh("cd; pwd") == place.run("pwd").stdout.data.decode()


def test_output_over_the_cap_is_cut_and_its_size_told(place: Place) -> None:
    heard: list[int] = []
    ended = place.run(
        "sh", "-c", "head -c 10000000 /dev/zero; head -c 3000000 /dev/zero >&2",
        on_output=lambda stream, data: heard.append(len(data)),
    )  # fmt: skip
    assert (len(ended.stdout.data), ended.stdout.size) == (MIB, 10_000_000)
    assert (len(ended.stderr.data), ended.stderr.size) == (MIB, 3_000_000)
    assert (ended.exit_code, sum(heard)) == (0, 13_000_000)


def test_input_and_output_are_binary(place: Place) -> None:
    data = bytes(range(256)) * 16 + os.urandom(MIB)
    ended = place.run(
        "sh",
        "-c",
        "tee file; cat file >&2",
        cwd=place.folder or "/",
        stdin=data,
        printed=Printed(2 * MIB),
    )
    assert (ended.stdout.data == data, ended.stderr.data == data) == (True, True)


def test_what_wants_no_input_ends_all_the_same(place: Place) -> None:
    started = time.monotonic()
    assert place.run("true", stdin=bytes(4 * MIB)).exit_code == 0
    assert place.run("cat").stdout.data == b""
    assert time.monotonic() - started < 10


def test_many_at_once_are_not_mixed_up(place: Place) -> None:
    # sshd drops more than ten that are not logged in yet.
    count = 8 if place.driver.name == "ssh" else 50
    with ThreadPoolExecutor(count) as pool:
        runs = pool.map(
            lambda n: place.run(
                "sh", "-c", f"cat; echo {n}; exit {n}", stdin=b"%d " % n, timeout_s=60
            ),
            range(count),
        )
        assert [(ended.exit_code, ended.stdout.data) for ended in runs] == [
            (n, b"%d %d\n" % (n, n)) for n in range(count)
        ]


def test_output_is_heard_while_it_runs(place: Place) -> None:
    place.sh("mkfifo gate")
    heard: list[tuple[str, bytes]] = []

    def on_output(stream: str, data: bytes) -> None:
        heard.append((stream, data))
        if len(heard) == 1:
            threading.Thread(target=place.sh, args=("echo >gate",)).start()

    ended = place.run(
        "sh", "-c", f"echo ready; read x <'{place.inner}/gate'; echo done >&2", on_output=on_output
    )
    assert ended.exit_code == 0
    assert heard == [("stdout", b"ready\n"), ("stderr", b"done\n")]


TREES = {
    "in the background": "sleep N & sleep N",
    "in a session of its own": "setsid sleep N & wait",
    "forked twice": "(setsid sh -c 'sleep N & sleep N' &) ; sleep N",
    "without its environment": "env -i /bin/sh -c 'PATH=/bin:/usr/bin; sleep N; true'",
    "without environment and parent": "(env -i /bin/sleep N &) ; sleep N",
    "without environment, parent and session": (
        "(env -i /bin/sh -c 'PATH=/bin:/usr/bin; setsid sleep N &' &) ; sleep N"
    ),
    "deaf to signals": "trap '' TERM INT HUP; sleep N; sleep N",
    "holding the output": "sleep N & exit 3",
    "with its output closed": "exec >&- 2>&-; sleep N",
    "writing all the time": "sleep N & yes",
    "forking all the time": "while :; do sleep N & sleep 0.01; done",
}


@pytest.mark.parametrize("tree", TREES)
def test_at_its_time_the_whole_tree_is_ended(place: Place, tree: str) -> None:
    seconds = f"1{random.randrange(10**8):08}"
    started = time.monotonic()
    ended = place.run(
        "sh", "-c", f"echo ready; {TREES[tree].replace('N', seconds)}", timeout_s=place.brief_s
    )
    took = time.monotonic() - started
    assert ended.stdout.data.startswith(b"ready\n")
    assert (ended.exit_code, ended.timed_out, ended.cancelled, ended.leaked) == (
        None,
        True,
        False,
        0,
    )
    assert alive(f"sleep {seconds}") == []
    assert took < place.brief_s + 5


def test_what_was_not_asked_to_end_goes_on(place: Place) -> None:
    seconds = f"1{random.randrange(10**8):08}"
    ended = place.run("sh", "-c", f"setsid sleep {seconds} >/dev/null 2>&1 & echo $!")
    assert ended.exit_code == 0
    place.run("sleep", "1000", timeout_s=0.2)  # another run that is ended
    assert alive(f"sleep {seconds}")
    place.sh("kill $1", ended.stdout.data.decode().strip())
    wait_until(lambda: not alive(f"sleep {seconds}"))


def test_what_a_lost_run_left_behind_can_be_ended(place: Place) -> None:
    seconds, marker = f"1{random.randrange(10**8):08}", secrets.token_hex(13)
    place.driver.exec(
        place.target, Run(("sh", "-c", f"setsid sleep {seconds} >/dev/null 2>&1 &"), marker)
    )
    wait_until(lambda: alive(f"sleep {seconds}"))
    assert place.driver.end(place.target, "0" * 26) == 0
    assert alive(f"sleep {seconds}")
    assert place.driver.end(place.target, marker) == 0
    assert alive(f"sleep {seconds}") == []


# What the program finds in the memory of the shell that waits for it: as root, or where the kernel
# lets a user look.
WORD = r"""
read -r range x <<EOF
$(grep -F '[heap]' /proc/$PPID/maps)
EOF
from=$((0x${range%-*} / 4096)) to=$((0x${range#*-} / 4096))
w=$(dd if=/proc/$PPID/mem bs=4096 skip=$from count=$((to - from)) 2>/dev/null |
  tr -c '0-9a-f' '\n' | grep -xE '[0-9a-f]{32}' | head -n 1)
say() { printf '\036%s %s\n' "$w" "$1" >&2; }
"""
LOOK = r"""
cat /proc/$PPID/cmdline /proc/$PPID/environ | tr '\000' '\n' | grep -xE '.*[0-9a-f]{32}'
ls -l /proc/$PPID/fd
"""


def test_the_word_by_which_an_end_is_told_stands_in_no_arguments_and_no_environment(
    place: Place,
) -> None:
    found = place.run("sh", "-c", LOOK, marker="m" * 26).stdout.data
    assert b"pipe:" in found
    assert re.search(rb"[0-9a-f]{32}|/tmp/", found) is None


def test_variables_arrive_also_where_the_script_might_have_used_their_names(place: Place) -> None:
    names = [chr(letter) for letter in range(ord("a"), ord("z") + 1)]
    ended = place.run("env", env=dict.fromkeys(names, "mine"))
    assert {f"{name}=mine" for name in names} <= set(ended.stdout.data.decode().splitlines())


@pytest.mark.parametrize("path", ["/nowhere", "", "relative:/nowhere"])
def test_a_program_that_is_named_by_its_path_needs_no_path_variable(
    place: Place, path: str
) -> None:
    assert (
        place.run("/bin/sh", "-c", "echo $PATH", env={"PATH": path}).stdout.data.decode()
        == f"{path}\n"
    )
    with pytest.raises(NoSuchProgram):
        place.run("ls", env={"PATH": path})


@pytest.mark.parametrize(
    "program", ["no-such-program", "/no/such/program", "/etc/passwd", "/etc", "cd"]
)
def test_a_program_that_is_not_there_says_nothing(place: Place, program: str) -> None:
    heard: list[bytes] = []
    with pytest.raises(NoSuchProgram):
        place.run(program, on_output=lambda stream, data: heard.append(data))
    assert heard == []


def test_a_program_whose_interpreter_is_missing_says_no_internal_sign(place: Place) -> None:
    heard: list[bytes] = []
    place.sh("printf '#!/no/such\\n' >script; chmod +x script")
    with suppress(NoSuchProgram):  # a shell that runs no trap then says 127, as the program might
        ended = place.run(
            f"{place.inner}/script", on_output=lambda stream, data: heard.append(data)
        )
        assert ended.exit_code == 127
    assert b"\x1e" not in b"".join(heard)


@pytest.mark.parametrize(
    "line",
    ["code 99999999999999999999", "code 256", "code -1", "code", "started --5", "failed 1", "x"],
)
def test_what_a_program_says_in_the_words_of_the_script_is_its_output(
    place: Place, line: str
) -> None:
    for _ in range(5):
        ended = place.run("sh", "-c", WORD + 'say "$1"; say "$1"; exit 7', "sh", line)
        if ended.stderr.data:  # which lxc exec loses now and then: see LxcDriver
            break
    assert (ended.exit_code, ended.stderr.data.count(f" {line}\n".encode())) == (7, 2)


@pytest.mark.parametrize("code", ["99999999999999999999", "256", "-1", "1 2", "3"])
def test_a_forged_code_is_one_that_a_program_can_have(place: Place, code: str) -> None:
    """Here the shell that would say the code is ended."""
    ended = place.run("sh", "-c", WORD + '[ "$w" ] && say "code $1"; kill -KILL $PPID', "sh", code)
    assert ended.exit_code == (3 if code == "3" and os.geteuid() == 0 else None)
    assert (ended.lost == "") == (ended.exit_code == 3)


def test_a_run_whose_shell_is_ended_is_ended_by_its_marker_and_nobody_knows_its_code(
    place: Place,
) -> None:
    seconds = f"1{random.randrange(10**8):08}"
    ended = place.run(
        "sh", "-c", f"echo ready; kill -KILL $PPID; exec sleep {seconds} >&- 2>&-", timeout_s=60
    )
    assert (ended.exit_code, ended.stdout.data, ended.timed_out, ended.cancelled) == (
        None,
        b"ready\n",
        False,
        False,
    )
    assert (ended.lost != "", ended.leaked, ended.is_unreached) == (True, 0, False)
    assert alive(f"sleep {seconds}") == []


@pytest.mark.slow
def test_a_client_that_is_ended_is_no_end_of_the_program(place: Place) -> None:
    """The program goes on without it, past its time: it is ended by its marker."""
    seconds = f"1{random.randrange(10**8):08}"

    def on_output(stream: str, data: bytes) -> None:
        children = Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split()
        os.kill(int(children[-1]), signal.SIGKILL)

    ended = place.run("sh", "-c", f"echo ready; sleep {seconds}", on_output=on_output, timeout_s=60)
    assert (ended.exit_code, ended.stdout.data, ended.timed_out) == (None, b"ready\n", False)
    assert ("signal 9" in ended.lost, ended.leaked) == (True, 0)
    assert alive(f"sleep {seconds}") == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "line", ["started --5", "started 99999999999999999999 1 1", "started 1 1 1", "code 0", "failed"]
)
def test_a_run_is_ended_at_its_time_whatever_it_says(place: Place, line: str) -> None:
    seconds = f"1{random.randrange(10**8):08}"
    script = (
        WORD
        + f'say "$1"; (env -i /bin/sh -c "PATH=/bin:/usr/bin; setsid sleep {seconds} &" &); sleep'
        f" {seconds}"
    )
    ended = place.run("sh", "-c", script, "sh", line, timeout_s=place.brief_s + 1)
    assert (ended.exit_code, ended.timed_out, ended.leaked) == (None, True, 0)
    assert alive(f"sleep {seconds}") == []


def test_a_run_is_not_ended_by_another_that_gives_its_session_for_its_own(place: Place) -> None:
    seconds, stop, lines = f"1{random.randrange(10**8):08}", threading.Event(), list[bytes]()
    script = f"""read -r x x x x x s x </proc/$PPID/stat
    o=$(ls -l /proc/$$/fd/1) o=${{o##*:[}} e=$(ls -l /proc/$$/fd/2) e=${{e##*:[}}
    echo $s ${{o%]}} ${{e%]}}; sleep {seconds}"""
    other = threading.Thread(
        target=place.run,
        args=("sh", "-c", script),
        kwargs={"cancel": stop, "on_output": lambda _, chunk: lines.append(chunk), "timeout_s": 60},
    )
    other.start()
    try:
        wait_until(lambda: bool(lines))
        traces = lines[0].decode().strip()
        ended = place.run(
            "sh", "-c", WORD + 'say "started $1"; sleep 1000', "sh", traces, timeout_s=place.brief_s
        )
        assert (ended.timed_out, ended.leaked) == (True, 0)
        assert alive(f"sleep {seconds}")
        # Nor where those traces came first, when they are of a user that the run is not.
        driver, numbers = place.driver, [int(number) for number in traces.split()]
        assert isinstance(driver, PosixDriver)
        assert numbers[0] >= 0
        assert driver.end_marked(place.target, "BUS_EXEC_ID=none", numbers, user="4321") not in (
            0,
            None,
        )
        assert alive(f"sleep {seconds}")
    finally:
        stop.set()
        other.join()
    assert alive(f"sleep {seconds}") == []


def test_half_a_sign_without_an_end_is_output_like_any_other(place: Place) -> None:
    heard: list[int] = []
    script = (
        WORD + "printf '\\036%s ' $w >&2; head -c 30000000 /dev/zero >&2; printf '\\036%s ' $w >&2;"
        " exit 5"
    )
    began = time.monotonic()
    ended = place.run("sh", "-c", script, on_output=lambda stream, data: heard.append(len(data)))
    assert (ended.exit_code, len(ended.stderr.data), ended.stderr.size) == (5, MIB, 30_000_068)
    assert (sum(heard), time.monotonic() - began < 15) == (30_000_068, True)


@pytest.mark.slow
def test_a_run_of_a_user_is_ended_with_what_lost_its_environment_and_parent(lxc: Place) -> None:
    for program, wanted in TREES.items():
        seconds = f"1{random.randrange(10**8):08}"
        ended = lxc.run(
            "sh", "-c", wanted.replace("N", seconds), timeout_s=lxc.brief_s, user="agent"
        )
        assert (program, ended.timed_out, ended.leaked) == (program, True, 0)
        assert alive(f"sleep {seconds}") == []


@pytest.mark.parametrize("told", ["9" * 5000, "9" * 20, "-1", "x", "", "1 2", "\u0663"])
def test_how_many_are_left_is_a_number_or_unknown(tmp_path: Path, told: str) -> None:
    class Liar(LocalDriver):
        def _command(self, target: str, argv: Any, env: Any, run: Any = None) -> Command:
            return Command(["printf", "%s", told], {"PATH": "/bin:/usr/bin"})

    assert Liar({"scratch": tmp_path}).end("scratch", "m") is None


BIG = "9" * 30


@pytest.mark.parametrize(
    ("code", "line"),
    [
        *(
            (0, line)
            for line in (
                "",
                "x",
                "1 2 3",
                "1 2 3 4 5",
                f"{BIG} 644 0 0",
                f"1 644 {BIG} 0",
                f"1 644 0 {BIG}",
                "1 9 0 0",
            )
        ),
        *(
            (0, line)
            for line in (
                f"1 {'7' * 30} 0 0",
                "-1 644 0 0",
                "1 644 -1 0",
                "1 644 4294967296 0",
                f"{1 << 63} 644 0 0",
            )
        ),
        *(
            (0, line)
            for line in (
                "1 644 0 \u0663",
                "1 77777 0 0",
                "+1 644 0 0",
                "1_0 644 0 0",
                "9" * 5000 + " 644 0 0",
            )
        ),
        *((13, line) for line in ("", "x", BIG, f"{1 << 63} 644 0 0", "-1 644 0 0", "9" * 5000)),
        *((11, line) for line in ("", "x" * 5000, "\x1b[2J")),
        *((15, line) for line in ("x" * 5000, "\x1b[2J")),
    ],
)
def test_what_a_target_lies_about_a_file_is_an_error_that_is_told(code: int, line: str) -> None:
    class Liar:
        def exec(self, target: str, run: Run, on_output: Any = None) -> Ended:
            words = b"y" * (1 << 20)
            return Ended(code, Output(line.encode() + b"\n", 0), Output(words, len(words)), 1)

    for call in (
        lambda: files.read(Liar(), "one", "/x", 0, 9, 9, 1),
        lambda: files.write(Liar(), "one", Write("/x", b""), 1),
    ):
        with pytest.raises((TargetFailed, FileRefused)) as refused:
            call()
        assert len(str(refused.value)) < 1000


def test_a_stat_that_lies_is_an_error_that_is_told(
    local: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local.sh("echo x >file")
    (tmp_path / "bin").mkdir()
    stat = tmp_path / "bin" / "stat"
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    for facts in (f"2 644 {BIG} 0", f"{BIG} 644 0 0", "2 -644 0 0", ""):
        stat.write_text(f"#!/bin/sh\necho '{facts}'\n")
        stat.chmod(0o755)
        for call in (
            lambda: local.driver.read(local.target, "/file", 0, 9, 9),
            lambda: local.driver.write(local.target, Write("/file", b"x")),
        ):
            with pytest.raises((TargetFailed, FileRefused)):
                call()


def test_a_cancel_ends_it_with_what_came(place: Place) -> None:
    cancel, seconds = threading.Event(), f"1{random.randrange(10**8):08}"
    ended = place.run(
        "sh",
        "-c",
        f"echo ready; sleep {seconds} & sleep {seconds}",
        cancel=cancel,
        on_output=lambda *_: cancel.set(),
    )
    assert (ended.exit_code, ended.timed_out, ended.cancelled, ended.leaked) == (
        None,
        False,
        True,
        0,
    )
    assert ended.stdout.data == b"ready\n"
    assert ended.duration_ms < 10_000
    assert alive(f"sleep {seconds}") == []


def test_a_listener_that_fails_ends_it(place: Place) -> None:
    seconds = f"1{random.randrange(10**8):08}"

    def on_output(stream: str, data: bytes) -> None:
        raise OSError("nobody listens any more")

    with pytest.raises(OSError, match="nobody"):
        place.run("sh", "-c", f"echo ready; sleep {seconds} & sleep {seconds}", on_output=on_output)
    assert alive(f"sleep {seconds}") == []


def test_a_file_comes_back_as_it_was_written(place: Place) -> None:
    content, path = os.urandom(5 * MIB), f"{place.folder}/-a b\n'é $(id)"
    written = place.driver.write(
        place.target, Write(path, content, mode=0o640, uid=os.getuid(), gid=os.getgid())
    )
    assert (written.content, written.size, written.sha256) == (
        b"",
        len(content),
        sha256(content).hexdigest(),
    )
    read = place.driver.read(place.target, path, 0, 16 * MIB, 16 * MIB)
    assert read.content == content
    assert (
        (read.size, read.sha256, read.mode)
        == (written.size, written.sha256, 0o640)
        == (len(content), written.sha256, written.mode)
    )
    assert (read.uid, read.gid) == (os.getuid(), os.getgid())
    part = place.driver.read(place.target, path, 1000, 10, 16 * MIB)
    assert (part.content, part.size, part.sha256) == (content[1000:1010], read.size, read.sha256)
    assert place.driver.read(place.target, path, 6 * MIB, 10, 16 * MIB).content == b""
    assert place.sh("find . -type f -print0 | tr -cd '\\000' | wc -c").strip() == "1"


def test_mode_and_owner_stay_and_can_be_given(place: Place) -> None:
    path = f"{place.folder}/file"
    assert place.driver.write(place.target, Write(path, b"")).mode == 0o644
    place.sh("chmod 4751 file")
    if os.getuid() == 0:
        place.sh("chown 12:34 file; chmod 4751 file")
    kept = place.driver.write(place.target, Write(path, b"new"))
    assert kept.mode == 0o4751
    if os.getuid() == 0:
        assert (kept.uid, kept.gid) == (12, 34)
        given = place.driver.write(place.target, Write(path, b"newer", mode=0o600, gid=56))
        assert (given.mode, given.uid, given.gid) == (0o600, 12, 56)


def test_a_file_that_has_changed_is_left_alone(place: Place) -> None:
    path, old = f"{place.folder}/file", sha256(b"old").hexdigest()

    def write(content: bytes, if_sha256: str) -> None:
        place.driver.write(place.target, Write(path, content, if_sha256=if_sha256))

    with pytest.raises(FileChanged):
        write(b"new", old)
    write(b"old", "")
    with pytest.raises(FileChanged) as refused:
        write(b"new", "")
    assert refused.value.details["sha256"] == old
    write(b"new", old)
    with pytest.raises(FileChanged):
        write(b"newer", old)
    assert place.sh("cat file; ls -A") == "newfile\n"


def test_of_two_writers_on_the_same_file_one_is_refused(place: Place) -> None:
    path = f"{place.folder}/file"
    for round_number in range(5):
        place.sh(f"echo {round_number} >file")
        seen = sha256(b"%d\n" % round_number).hexdigest()

        def write(content: bytes, seen: str = seen) -> bool:
            try:
                place.driver.write(place.target, Write(path, content, if_sha256=seen))
            except FileChanged:
                return False
            return True

        with ThreadPoolExecutor(6) as pool:
            done = list(pool.map(write, (b"by %d" % writer for writer in range(6))))
        assert done.count(True) == 1
        assert place.sh("cat file") == f"by {done.index(True)}"


def test_a_missing_folder_is_told_or_made(place: Place) -> None:
    path = f"{place.folder}/a/b/file"
    with pytest.raises(NoSuchFolder):
        place.driver.write(place.target, Write(path, b"x"))
    place.driver.write(place.target, Write(path, b"x", create_dirs=True))
    assert place.sh("stat -c %a a a/b a/b/file").split() == ["755", "755", "644"]
    with pytest.raises(NoSuchFolder):
        place.driver.write(place.target, Write(f"{path}/c", b"x", create_dirs=True))
    with pytest.raises(NoSuchFile):
        place.driver.read(place.target, f"{path}/c", 0, 1, 1)


@pytest.mark.parametrize(
    ("made", "kind"),
    [
        ("mkdir x", "folder"),
        ("mkfifo x", "fifo"),
        ("mkdir y; ln -s y x", "folder"),
        ("mkfifo y; ln -s y x", "fifo"),
    ],
)
def test_what_is_no_file_is_neither_read_nor_written(place: Place, made: str, kind: str) -> None:
    place.sh(made)
    before = place.sh("ls -lA")
    started = time.monotonic()
    with pytest.raises(NotAFile) as refused:
        place.driver.read(place.target, f"{place.folder}/x", 0, 10, 10)
    assert refused.value.details["type"] == kind
    with pytest.raises(NotAFile) as refused:
        place.driver.write(place.target, Write(f"{place.folder}/x", b"x"))
    assert refused.value.details["type"] == kind
    assert time.monotonic() - started < 5
    assert place.sh("ls -lA") == before


def test_a_device_is_no_file(place: Place) -> None:
    path = "/dev/zero"
    if place.driver.name == "local":
        if os.getuid() != 0:
            pytest.skip("needs root, to make a device")
        place.sh("mknod zero c 1 5")
        path = "/zero"
    for call in (
        lambda: place.driver.read(place.target, path, 0, 10, 10),
        lambda: place.driver.write(place.target, Write(path, b"")),
    ):
        with pytest.raises(NotAFile) as refused:
            call()
        assert refused.value.details["type"] == "device"


def test_links_within_are_followed(place: Place) -> None:
    place.sh(
        "mkdir sub; echo old >sub/file; ln -s sub/file link; ln -s nowhere dangling; ln -s loop"
        " loop"
    )
    assert place.driver.read(place.target, f"{place.folder}/link", 0, 10, 10).content == b"old\n"
    place.driver.write(place.target, Write(f"{place.folder}/link", b"new"))
    assert place.sh("cat sub/file; readlink link; ls -A sub") == "newsub/file\nfile\n"
    for link in ("dangling", "loop"):
        with pytest.raises(NoSuchFile):
            place.driver.read(place.target, f"{place.folder}/{link}", 0, 10, 10)
        with pytest.raises(NotAFile) as refused:
            place.driver.write(place.target, Write(f"{place.folder}/{link}", b"x"))
        assert refused.value.details["type"] == "link"
    assert place.sh("ls -A").split() == ["dangling", "link", "loop", "sub"]


def test_where_a_path_leads_is_told_with_every_link_resolved(place: Place) -> None:
    place.sh(
        "mkdir -p real/sub; echo x >real/sub/file; ln -s real notes; ln -s sub/file real/link; ln"
        " -s nowhere dangling"
    )
    at = real_folder(place)
    for path, leads in (
        ("notes/sub/file", "real/sub/file"),
        ("notes/link", "real/sub/file"),
        ("notes/new", "real/new"),
        ("notes//./new/deeper/file", "real/new/deeper/file"),
        ("real", "real"),
    ):
        assert place.driver.resolve(place.target, f"{place.folder}/{path}") == f"{at}/{leads}", path
    with pytest.raises(NotAFile):
        place.driver.resolve(place.target, f"{place.folder}/dangling")


def real_folder(place: Place) -> str:
    """The place's folder as `resolve` gives it."""
    return place.driver.resolve(place.target, f"{place.folder}/x").removesuffix("/x")


def test_a_path_that_leads_elsewhere_than_was_seen_is_neither_read_nor_written(
    place: Place,
) -> None:
    place.sh(
        "mkdir -p mine/deep ssh; echo old >mine/keys; echo secret >ssh/keys; ln -s mine notes; ln"
        " -s mine/keys link"
    )
    at = real_folder(place)
    path, link = f"{place.folder}/notes/keys", f"{place.folder}/link"
    seen = place.driver.resolve(place.target, path)
    assert seen == place.driver.resolve(place.target, link) == f"{at}/mine/keys"
    assert place.driver.read(place.target, path, 0, 99, 99, seen).content == b"old\n"
    place.driver.write(place.target, Write(path, b"new\n", real=seen))
    place.driver.write(place.target, Write(link, b"newer\n", real=seen))
    assert place.sh("cat mine/keys; readlink link; ls -A mine") == "newer\nmine/keys\ndeep\nkeys\n"
    place.sh("ln -sfn ssh notes; ln -sfn ssh/keys link")
    for moved in (path, link):
        with pytest.raises(PathMoved):
            place.driver.read(place.target, moved, 0, 99, 99, seen)
        with pytest.raises(PathMoved):
            place.driver.write(place.target, Write(moved, b"pwned\n", real=seen))
    with pytest.raises(PathMoved):
        place.driver.write(
            place.target, Write(f"{place.folder}/notes/new", b"pwned\n", real=f"{at}/mine/new")
        )
    assert place.sh("cat mine/keys ssh/keys; ls -A ssh") == "newer\nsecret\nkeys\n"


def test_folders_are_made_where_they_were_seen_to_be(place: Place) -> None:
    place.sh("mkdir mine ssh; ln -s mine notes")
    path = f"{place.folder}/notes/a/b/keys"
    seen = place.driver.resolve(place.target, path)
    place.driver.write(place.target, Write(path, b"x", create_dirs=True, real=seen))
    assert place.sh("cat mine/a/b/keys") == "x"
    place.sh("rm -r mine/a; ln -sfn ssh notes")
    with pytest.raises(PathMoved):
        place.driver.write(place.target, Write(path, b"x", create_dirs=True, real=seen))
    assert place.sh("ls -A ssh") == ""


def test_a_link_that_moves_while_a_file_is_written_leads_nobody_elsewhere(place: Place) -> None:
    place.sh("mkdir mine ssh; ln -s mine notes")
    path = f"{place.folder}/notes/keys"
    seen = place.driver.resolve(place.target, path)
    swap = "while [ ! -e stop ]; do for to in ssh mine; do ln -s $to n; mv -fT n notes; done; done"
    with ThreadPoolExecutor(1) as pool:
        swapping = pool.submit(place.sh, swap, timeout_s=60)
        outcomes = set()
        for number in range(12):
            try:
                place.driver.write(place.target, Write(path, b"%d" % number, real=seen))
                outcomes.add("written")
            except (PathMoved, NotAFile, NoSuchFolder, FileRefused) as error:
                outcomes.add(error.code)
        place.sh("touch stop")
        swapping.result(60)
    assert place.sh("ls -A ssh") == "", outcomes


def test_a_file_over_the_limit_is_told_at_once(place: Place) -> None:
    """To read the large one would take longer than a file may."""
    place.sh(
        "echo 12345 >small; dd if=/dev/zero of=sparse bs=1 count=0 seek=1099511627776 2>/dev/null"
    )
    for name, size in (("small", 6), ("sparse", 1 << 40)):
        with pytest.raises(TooLarge) as refused:
            place.driver.read(place.target, f"{place.folder}/{name}", 0, 6, 5)
        assert refused.value.details == {"size": size, "limit": 5}
    assert place.driver.read(place.target, f"{place.folder}/small", 0, 6, 6).content == b"12345\n"


def test_parts_of_a_file_over_the_limit_are_read_where_they_are(place: Place) -> None:
    content = os.urandom(300_000)
    place.sh("cat >random", stdin=content)
    place.sh(
        "dd if=/dev/zero of=sparse bs=1 count=0 seek=1099511627776 2>/dev/null; printf the-end"
        " >>sparse"
    )
    for offset, limit in (
        (0, 10),
        (1, 65_536),
        (65_535, 2),
        (65_536, 100_000),
        (131_071, 90_000),
        (299_990, 99),
        (7, 0),
    ):
        part = place.driver.read(place.target, f"{place.folder}/random", offset, limit, 100_000)
        assert part.content == content[offset : offset + limit], (offset, limit)
        assert (part.size, part.sha256, part.mode) == (300_000, None, 0o644)
    for offset in (300_000, 300_001, 1 << 53):
        assert (
            place.driver.read(place.target, f"{place.folder}/random", offset, 10, 100_000).content
            == b""
        )
    rest = place.driver.read(place.target, f"{place.folder}/random", 200_001, 1 << 53, 100_000)
    assert rest.content == content[200_001:]
    for offset, limit in ((0, 100_001), (199_999, 1 << 53)):
        with pytest.raises(TooLarge):
            place.driver.read(place.target, f"{place.folder}/random", offset, limit, 100_000)
    # What is before the part is not read: that would take longer than a file may.
    assert (
        place.driver.read(place.target, f"{place.folder}/sparse", (1 << 40) - 1, 99, 100).content
        == b"\0the-end"
    )
    place.sh("rm sparse")


def test_a_file_that_grows_while_it_is_read_is_told(place: Place) -> None:
    """/proc has files that say a size of 0 and have content; those of the folder's driver are
    outside it.
    """
    if place.driver.name == "local":
        return
    assert place.driver.read(
        place.target, "/proc/self/status", 0, 1 << 16, 1 << 16
    ).content.startswith(b"Name:")
    with pytest.raises(TooLarge):
        place.driver.read(place.target, "/proc/self/status", 0, 10, 10)


@pytest.mark.slow
def test_a_file_that_is_swapped_for_a_fifo_costs_bounded_time(place: Place) -> None:
    """The opening may wait for a writer that never comes; the time-out ends it, and nothing stays
    behind.
    """
    place.sh("echo x >file; mkfifo fifo")
    place.driver.file_timeout_s = 1.5  # type: ignore[attr-defined]
    stop = threading.Event()
    swapper = threading.Thread(
        target=place.run,
        args=(
            "sh",
            "-c",
            'cd "$1"; while :; do ln -f file y; mv -f y x; ln -f fifo y; mv -f y x; done',
            "sh",
            place.inner,
        ),
        kwargs={"cancel": stop},
    )
    swapper.start()
    try:
        for _ in range(4):
            started = time.monotonic()
            with suppress(NotAFile, NoSuchFile, FileRefused):
                assert (
                    place.driver.read(place.target, f"{place.folder}/x", 0, 10, 10).content
                    == b"x\n"
                )
            assert time.monotonic() - started < 8
    finally:
        stop.set()
        swapper.join()
    place.sh("rm x fifo")


def test_content_that_comes_short_is_never_a_file(place: Place) -> None:
    place.sh("echo old >file")
    whole = b"x" * 100
    for size, digest in ((101, sha256(whole).hexdigest()), (100, "0" * 64)):
        arguments = (
            f"{place.inner}/file",
            ".bus-test.part",
            str(size),
            digest,
            "",
            "",
            "",
            "-",
            "",
        )
        ended = place.run("sh", "-c", scripts.WRITE, "sh", *arguments, stdin=whole)
        assert ended.exit_code == 12
    assert place.sh("cat file; ls -A") == "old\nfile\n"


def test_a_writer_that_is_ended_leaves_the_old_file_and_nothing_else(with_flock: Place) -> None:
    place = with_flock
    place.sh("echo old >file")
    stop, held = threading.Event(), threading.Event()
    holder = threading.Thread(
        target=place.run,
        args=("flock", place.inner or "/", "sh", "-c", "echo held; sleep 1000"),
        kwargs={"cancel": stop, "on_output": lambda *_: held.set(), "timeout_s": 60},
    )
    holder.start()
    try:
        assert held.wait(10)
        place.driver.file_timeout_s = place.brief_s  # type: ignore[attr-defined]
        with pytest.raises(FileRefused, match="could not be written within") as refused:
            place.driver.write(place.target, Write(f"{place.folder}/file", b"new"))
        assert "slow" in refused.value.hint
    finally:
        stop.set()
        holder.join()
    assert place.sh("cat file; ls -A") == "old\nfile\n"


@contextmanager
def a_lost_write(place: Place, first: Callable[[Path], object]) -> Iterator[None]:
    """In the block a write waits for the folder's lock, its new file being whole; after `first` its
    client is ended.
    """
    stop, held, writer = threading.Event(), threading.Event(), threading.get_native_id()
    holder = threading.Thread(
        target=place.run,
        args=("flock", place.inner or "/", "sh", "-c", "echo held; sleep 1000"),
        kwargs={"cancel": stop, "on_output": lambda *_: held.set(), "timeout_s": 60},
    )

    def waits() -> bool:
        with suppress(OSError):  # others use the word, too, and may have ended since
            found = [line.split() for line in alive("flock 9")]
            return place.inner in [
                os.readlink(f"/proc/{pid}/cwd") for pid, *words in found if words == ["flock", "9"]
            ]
        return False

    def end_client() -> None:
        wait_until(waits)
        first(next(Path(place.inner).glob(".bus-*.part")))
        children = Path(f"/proc/self/task/{writer}/children").read_text().split()
        os.kill(int(children[-1]), signal.SIGKILL)

    holder.start()
    try:
        assert held.wait(10)
        with ThreadPoolExecutor(1) as pool:
            ending = pool.submit(end_client)
            yield
            ending.result(20)
    finally:
        stop.set()
        holder.join()


def test_a_lost_write_says_whether_it_was_done(
    with_flock: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new file that is no longer beside the old one may have taken its place."""
    monkeypatch.setattr("bus.runner.drivers.posix._QUIET_S", 0.1)
    place = with_flock
    place.sh("echo old >file")
    write = Write(f"{place.folder}/file", b"new")
    with (
        a_lost_write(place, lambda part: None),
        pytest.raises(TargetFailed, match=r"was not written: .* signal 9") as failed,
    ):
        place.driver.write(place.target, write)
    assert "Nothing was written" in failed.value.hint
    assert place.sh("cat file; ls -A") == "old\nfile\n"
    with (
        a_lost_write(place, Path.unlink),
        pytest.raises(TargetFailed, match=r"Nobody knows whether .* was written: ") as failed,
    ):
        place.driver.write(place.target, write)
    assert "may or may not" in failed.value.hint


def test_a_write_that_cannot_be_cleaned_up_after_is_never_told_as_not_done(
    local: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A target that is frozen in the middle goes on writing when it thaws; `target_busy` would say
    that nothing was done.
    """
    monkeypatch.setattr("bus.runner.drivers.posix._QUIET_S", 0.1)
    with (
        a_lost_write(local, lambda part: freeze(local)),
        pytest.raises(TargetFailed, match=r"or still will be, written: .*frozen"),
    ):
        local.driver.write(local.target, Write("/file", b"new"))
    local.driver.start(local.target)


@pytest.mark.slow
def test_a_container_that_is_frozen_in_the_middle_of_a_file_is_busy_for_readers_only(
    lxc: Place,
) -> None:
    lxc.driver.file_timeout_s = lxc.brief_s + 1  # type: ignore[attr-defined]
    lxc.sh("head -c 64000000 /dev/zero >zeros; mkdir -p /usr/local/bin")
    freezes, plain = threading.Event(), lxc.driver.exec

    def exec(target: str, run: Run, *_: Any) -> Ended:
        def on_output(stream: str, data: bytes) -> None:
            if not freezes.is_set():
                freezes.set()
                freeze(lxc)

        return plain(target, run, on_output)

    lxc.driver.exec = exec  # type: ignore[method-assign, assignment]
    try:
        with pytest.raises(TargetBusy, match="frozen"):
            lxc.driver.read(lxc.target, f"{lxc.folder}/zeros", 0, 1 << 30, 1 << 30)
        lxc.driver.start(lxc.target)
        # This busybox has no flock, so that this one is taken for it; what it says comes before the
        # file has its name.
        lxc.sh(
            "printf '#!/bin/sh\\necho held\\nsleep 1000\\n' >/usr/local/bin/flock; chmod +x"
            " /usr/local/bin/flock"
        )
        freezes.clear()
        with pytest.raises(TargetFailed, match=r"or still will be, written: .*frozen"):
            lxc.driver.write(lxc.target, Write(f"{lxc.folder}/file", b"new"))
    finally:
        lxc.driver.exec = plain  # type: ignore[method-assign]
        lxc.driver.start(lxc.target)
        lxc.sh("rm -f /usr/local/bin/flock zeros")


def test_a_target_that_there_is_not_is_told(place: Place) -> None:
    place.target = "nobody"
    for call in (
        lambda: place.run("true"),
        lambda: place.driver.read("nobody", "/x", 0, 1, 1),
        lambda: place.driver.write("nobody", Write("/x", b"")),
        lambda: place.driver.start("nobody"),
        lambda: place.driver.stop("nobody"),
        lambda: place.driver.snapshot("nobody"),
        lambda: place.driver.restore("nobody", "x"),
        lambda: place.driver.delete_snapshot("nobody", "x"),
        lambda: place.driver.snapshots("nobody"),
        lambda: place.driver.ready("nobody"),
    ):
        with pytest.raises(UnknownTarget):
            call()


def test_every_target_is_listed(place: Place) -> None:
    listed = {entry.name: entry for entry in place.driver.list()}[place.target]
    assert (listed.driver, listed.kind) == (
        place.driver.name,
        "machine" if place.driver.name == "ssh" else "container",
    )
    assert listed.state == ("unknown" if place.driver.name == "ssh" else "running")


def test_a_target_is_stopped_and_started(container: Place) -> None:
    driver, target = container.driver, container.target
    assert driver.start(target) is False
    assert driver.stop(target, timeout_s=10) is True
    assert driver.stop(target) is False
    assert [entry.state for entry in driver.list() if entry.name == target] == ["stopped"]
    for call in (
        lambda: container.run("true"),
        lambda: driver.read(target, "/etc/passwd", 0, 1, 1),
        lambda: driver.write(target, Write("/x", b"")),
    ):
        with pytest.raises(TargetStopped):
            call()
    assert driver.start(target) is True
    assert container.run("true").exit_code == 0


def test_what_runs_ends_when_its_target_is_stopped(container: Place) -> None:
    running = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(
            container.run,
            "sh",
            "-c",
            "echo ready; sleep 1000 & sleep 1000",
            on_output=lambda *_: running.set(),
            timeout_s=60,
        )
        assert running.wait(10)
        started = time.monotonic()
        container.driver.stop(container.target, force=True)
        with suppress(TargetStopped):
            assert run.result(20).exit_code == 137
        assert time.monotonic() - started < 15
    container.driver.start(container.target)


def test_a_snapshot_brings_the_content_back(container: Place) -> None:
    driver, target, name = container.driver, container.target, f"s.{secrets.token_hex(4)}"
    container.sh(
        "mkdir kept; echo old >kept/file; chmod 640 kept/file; ln -s file kept/link; mkfifo"
        " kept/fifo"
    )
    before = container.sh("ls -lA kept; cat kept/file")
    assert driver.snapshot(target, name) == name
    with pytest.raises(SnapshotExists):
        driver.snapshot(target, name)
    container.sh("echo new >kept/file; rm kept/link; echo x >more")
    driver.restore(target, name)
    assert container.sh("ls -lA kept; cat kept/file; ls -A") == before + "kept\n"
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    generated = driver.snapshot(target)
    assert generated.startswith(day)
    assert {name, generated} <= set(
        {entry.name: entry for entry in driver.list()}[target].snapshots
    )
    with pytest.raises(NoSuchSnapshot):
        driver.restore(target, "none")
    for bad in ("-x", "../x", "", "a/b", "x" * 64, "a b", ".x", "a\n"):
        for call in (driver.snapshot, driver.restore, driver.delete_snapshot):
            with pytest.raises(BadField):
                call(target, bad)
    for made in (name, generated):
        driver.delete_snapshot(target, made)


def names_of(place: Place) -> list[str]:
    return [snapshot.name for snapshot in place.driver.snapshots(place.target)]


def test_snapshots_without_a_name_are_called_by_their_date_and_a_date_means_the_newest(
    container: Place,
) -> None:
    driver, target, before = container.driver, container.target, names_of(container)
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    assert before == []
    for number, content in enumerate(("one", "two", "three"), 1):
        container.sh(f"echo {content} >file")
        assert driver.snapshot(target) == (day if number == 1 else f"{day}-{number}")
    assert names_of(container) == [day, f"{day}-2", f"{day}-3"]
    for wanted, restored, content in (
        (day, f"{day}-3", "three"),
        (f"{day}-1", day, "one"),
        (f"{day}-2", f"{day}-2", "two"),
    ):
        assert driver.restore(target, wanted).snapshot == restored
        assert container.sh("cat file") == f"{content}\n"
    for missing in (f"{day}-4", "1999-01-01", "1999-01-01-1"):
        with pytest.raises(NoSuchSnapshot):
            driver.restore(target, missing)
    driver.delete_snapshot(target, f"{day}-2")
    assert driver.snapshot(target) == f"{day}-4", "a name that was given stays that of one snapshot"
    for missing in (f"{day}-1", f"{day}-2"):
        with pytest.raises(NoSuchSnapshot):
            driver.delete_snapshot(target, missing)
    for made in (day, f"{day}-3", f"{day}-4"):
        driver.delete_snapshot(target, made)
    assert names_of(container) == []


def test_a_restore_keeps_what_was_there_and_of_such_snapshots_a_number(container: Place) -> None:
    driver, target = container.driver, container.target
    container.sh("echo old >file")
    for name in ("mine", "before-restore-mine"):
        driver.snapshot(target, name)
    container.sh("echo new >file")
    first = driver.restore(target, "mine", keep=2)
    assert first.saved is not None
    assert (container.sh("cat file"), first.removed) == ("old\n", ())
    back = driver.restore(target, first.saved, keep=2)
    assert (container.sh("cat file"), back.snapshot, back.removed) == ("new\n", first.saved, ())
    third = driver.restore(target, first.saved, keep=2)
    assert third.removed == (), "the one that was gone back to stays"
    fourth = driver.restore(target, "mine", keep=2)
    assert set(fourth.removed) == {first.saved, back.saved}
    assert set(names_of(container)) == {"mine", "before-restore-mine", third.saved, fourth.saved}
    for name in names_of(container):
        driver.delete_snapshot(target, name)


def freeze(place: Place) -> None:
    """As an operator does by hand."""
    if isinstance(place.driver, LocalDriver):
        place.driver._beside(place.target).mkdir(exist_ok=True)
        (place.driver._beside(place.target) / "frozen").touch()
    else:
        subprocess.run(["lxc", "pause", place.target], check=True)


def state_of(place: Place) -> str:
    return next(listed.state for listed in place.driver.list() if listed.name == place.target)


def test_a_frozen_target_is_busy_and_neither_stopped_nor_thawed_by_a_call(container: Place) -> None:
    driver, target = container.driver, container.target
    freeze(container)
    for call in (
        lambda: driver.ready(target),
        lambda: container.run("true"),
        lambda: driver.read(target, "/etc/passwd", 0, 1, 1),
        lambda: driver.write(target, Write("/x", b"")),
    ):
        with pytest.raises(TargetBusy, match="frozen"):
            call()
    assert state_of(container) == "frozen"
    assert driver.start(target) is True
    assert (state_of(container), driver.start(target)) == ("running", False)
    driver.ready(target)
    freeze(container)
    assert driver.stop(target, force=True) is True
    assert (state_of(container), driver.stop(target)) == ("stopped", False)
    with pytest.raises(TargetStopped):
        driver.ready(target)
    driver.start(target)
    freeze(container)
    assert driver.stop(target, timeout_s=5) is True
    assert state_of(container) == "stopped"
    driver.start(target)
    assert container.run("true").exit_code == 0


def test_operations_on_one_target_are_done_one_after_the_other(container: Place) -> None:
    driver, target = container.driver, container.target
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: driver.snapshot(target), range(8)))
    assert sorted(made) == sorted([day, *(f"{day}-{number}" for number in range(2, 9))])
    assert state_of(container) == "running"
    for name in made:
        driver.delete_snapshot(target, name)


@pytest.mark.slow
def test_an_operation_whose_turn_does_not_come_is_told_to_come_again(container: Place) -> None:
    driver, target = container.driver, container.target
    assert isinstance(driver, ContainerDriver)
    driver.queue_s = 0.2
    before = names_of(container)
    with driver.queues.turn(target, 1, "snapshot"):
        for call in (
            lambda: driver.start(target),
            lambda: driver.stop(target, force=True),
            lambda: driver.snapshot(target),
            lambda: driver.restore(target, "x", keep=1),
            lambda: driver.delete_snapshot(target, "x"),
        ):
            with pytest.raises(TargetBusy, match="Nothing was done"):
                call()
    assert (state_of(container), names_of(container)) == ("running", before)
    with driver.queues.turn(target, 1, "stop"):  # a patient one
        assert driver.stop(target, force=True) is True
    driver.start(target)


@pytest.mark.slow
def test_what_an_operator_does_by_hand_is_waited_for(lxc: Place) -> None:
    """A start during a snapshot would thaw the container in the middle of the copy."""
    lxc.sh("dd if=/dev/zero of=large bs=1M count=1500 2>/dev/null")
    driver, by_hand = lxc.driver, f"hand-{secrets.token_hex(4)}"
    assert isinstance(driver, LxcDriver)
    snapshotting = subprocess.Popen(["lxc", "snapshot", lxc.target, by_hand])
    try:
        wait_until(lambda: state_of(lxc) == "frozen")
        with pytest.raises(TargetBusy, match="Snapshotting"):
            lxc.run("true")
        driver.queue_s = 0.1
        with pytest.raises(TargetBusy, match="Snapshotting"):
            driver.start(lxc.target)
        assert snapshotting.poll() is None
        driver.queue_s = 60.0
        assert driver.start(lxc.target) is False, "by then it runs again"
        assert snapshotting.wait(20) == 0
    finally:
        snapshotting.wait(60)
    driver.delete_snapshot(lxc.target, by_hand)


@pytest.mark.slow
def test_a_machine_has_no_states_and_no_snapshots(ssh: Place) -> None:
    for call in (
        ssh.driver.start, ssh.driver.stop, ssh.driver.snapshot,
        lambda target: ssh.driver.restore(target, "x"),
        ssh.driver.snapshots, lambda target: ssh.driver.delete_snapshot(target, "x"),
    ):  # fmt: skip
        with pytest.raises(NotSupported):
            call(ssh.target)


def test_another_user_is_not_to_be_had_where_there_is_one_only(local: Place) -> None:
    with pytest.raises(NotSupported):
        local.run("id", user="daemon")
    assert local.run("id", "-u", user=str(os.getuid())).stdout.data == b"%d\n" % os.getuid()


@pytest.mark.parametrize("path", ["/out", "/deep/out", "/up/x", "/../x"])
def test_a_link_out_of_a_folder_is_not_followed(local: Place, path: str) -> None:
    local.sh(
        "ln -s /etc/passwd out; mkdir deep; ln -s ../../secret deep/out; ln -s .. up; echo x"
        " >../secret; echo x >../x"
    )
    for call in (
        lambda: local.driver.read(local.target, path, 0, 10, 10),
        lambda: local.driver.write(local.target, Write(path, b"owned")),
    ):
        with pytest.raises(NotAFile) as refused:
            call()
        assert refused.value.details["type"] == "link"
    with pytest.raises(NoSuchFolder):
        local.run("pwd", cwd="/up")
    assert isinstance(local.driver, LocalDriver)
    assert local.sh("cat ../secret ../x") == "x\nx\n"


def test_errors_of_the_folders_driver_tell_the_targets_path(local: Place) -> None:
    with pytest.raises(BusError, match="no file /none in scratch"):
        local.driver.read(local.target, "/none", 0, 1, 1)


@pytest.mark.slow
def test_a_user_comes_with_group_home_and_name(lxc: Place) -> None:
    def who(user: str | None) -> str:
        return (
            lxc.run("sh", "-c", "echo $(id -u):$(id -g) $HOME $USER $PWD", user=user)
            .stdout.data.decode()
            .strip()
        )

    assert who(None) == who("root") == "0:0 /root root /root"
    assert who("agent") == who("1000") == "1000:1000 /home/agent agent /home/agent"
    assert who("1000:5") == "1000:5 /home/agent agent /home/agent"
    assert who("4321") == "4321:4321 / 4321 /"
    for user in ("nobody-here", "-x", "a:b"):
        with pytest.raises(NoSuchUser):
            who(user)
    lxc.sh("mkdir closed; chmod 700 closed")
    with pytest.raises(NoSuchFolder):
        lxc.run("pwd", user="agent", cwd=f"{lxc.folder}/closed")


@pytest.mark.slow
def test_a_user_has_all_its_groups(lxc: Place) -> None:
    def groups(user: str, **fields: Any) -> list[str]:
        return lxc.run("id", "-G", user=user, **fields).stdout.data.decode().split()

    lxc.sh(
        "cp /etc/group group; echo 'staff:x:77:agent' >>/etc/group; echo 'sound:x:78:agent'"
        " >>/etc/group"
    )
    try:
        assert groups("agent") == groups("1000") == ["1000", "77", "78"]
        assert groups("1000:5") == ["5"]
        assert groups("root") == ["0"]
        who = lxc.run(
            "sh", "-c", "echo $(id -u) $HOME $USER $PWD $X", user="agent", env={"X": "-a 'b"}
        )
        assert who.stdout.data.decode() == "1000 /home/agent agent /home/agent -a 'b\n"
        assert lxc.run("sh", "-c", "exit 9", user="agent").exit_code == 9
        seconds = f"1{random.randrange(10**8):08}"
        ended = lxc.run(
            "sh", "-c", f"sleep {seconds} & sleep {seconds}", user="agent", timeout_s=lxc.brief_s
        )
        assert (ended.timed_out, ended.leaked, alive(f"sleep {seconds}")) == (True, 0, [])
    finally:
        lxc.sh("cp group /etc/group")


@pytest.mark.slow
def test_what_runs_on_in_a_frozen_container_is_ended_when_it_thaws(
    lxc: Place, lxd: dict[str, str]
) -> None:
    seconds, marker = f"1{random.randrange(10**8):08}", secrets.token_hex(13)

    def freeze(*_: Any) -> None:
        subprocess.run(["lxc", "pause", "one"], env={**os.environ, **lxd}, check=True)

    ended = lxc.run(
        "sh",
        "-c",
        f"echo ready; sleep {seconds}",
        on_output=freeze,
        marker=marker,
        timeout_s=lxc.brief_s,
    )
    assert (ended.timed_out, ended.leaked, ended.is_unreached) == (True, None, True)
    with pytest.raises(BusError, match="frozen"):
        lxc.driver.end("one", marker)
    assert alive(f"sleep {seconds}")
    subprocess.run(["lxc", "start", "one"], env={**os.environ, **lxd}, check=True)
    assert lxc.driver.end("one", marker) == 0
    assert alive(f"sleep {seconds}") == []


@pytest.mark.slow
def test_a_container_without_bash_or_sh_says_so(lxc: Place) -> None:
    for program in ("bash", "sh"):
        lxc.sh(f"mv /bin/{program} /bin/{program}.away")
        try:
            with pytest.raises(NoSuchProgram):
                lxc.run("bash", "-c", "true")
        finally:
            _put_back(lxc, program)


def _put_back(place: Place, program: str) -> None:
    assert isinstance(place.driver, LxcDriver)
    name = f"/bin/{program}"
    assert (
        said(
            place.driver._command(place.target, ["busybox", "mv", f"{name}.away", name], {}), 20
        ).code
        == 0
    )


@pytest.mark.slow
def test_a_machine_that_does_not_answer_or_is_not_known_is_told(ssh: Place, sshd: Sshd) -> None:
    away = Machine("127.0.0.1", port=free_port(), config=sshd.config)
    driver = SshDriver({"away": away, "strange": Machine("strange", config=sshd.config)})
    for target, words in (("away", "refused"), ("strange", "verification failed")):
        with pytest.raises(DriverUnavailable, match=words):
            driver.exec(target, Run(("true",), "m"))


@pytest.mark.slow
def test_a_connection_that_breaks_is_no_exit_code(ssh: Place) -> None:
    """255 is what ssh says then, and what a program may say, too."""
    ended = ssh.run(
        "sh", "-c", "kill -KILL $PPID; kill -KILL $(awk '/PPid/ {print $2}' /proc/$PPID/status)"
    )
    assert (ended.exit_code, "255" in ended.lost, ended.leaked) == (None, True, 0)
