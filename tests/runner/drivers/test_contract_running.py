"""What every driver promises of running a program, over a folder, a machine and a container."""

from __future__ import annotations

import os
import random
import re
import secrets
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from bus.errors import (
    BadField,
    FileRefused,
    NoSuchFolder,
    NoSuchProgram,
    TargetFailed,
    TooLarge,
)
from bus.runner.drivers import files
from bus.runner.drivers.base import Ended, Output, Printed, Run, Write
from bus.runner.drivers.local import LocalDriver
from bus.runner.drivers.posix import PosixDriver
from bus.runner.drivers.process import Command
from tests.conftest import wait_until
from tests.runner.drivers.conftest import MIB, Place, alive

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
