"""Run a command under the seccomp rules of a systemd unit, without systemd: `python sandbox.py UNIT
COMMAND…`.

Read from the unit: SystemCallFilter, SystemCallErrorNumber, MemoryDenyWriteExecute,
RestrictAddressFamilies, in the meaning of systemd.exec(5). Other lines (namespaces, capabilities)
are not emulated. Needs libseccomp and systemd-analyze.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import subprocess
import sys
from pathlib import Path

ALLOW, ERRNO = 0x7FFF0000, 0x00050000  # actions, seccomp.h
EQUAL, GREATER, MASKED_EQUAL = 4, 6, 7  # comparisons
WRITE, EXEC, SHM_EXEC = 2, 4, 0o100000


class Comparison(ctypes.Structure):
    """struct scmp_arg_cmp: argument number, comparison, and what to compare with."""

    _fields_ = [
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("a", ctypes.c_uint64),
        ("b", ctypes.c_uint64),
    ]


lib = ctypes.CDLL("libseccomp.so.2", use_errno=True)
lib.seccomp_init.restype = ctypes.c_void_p
lib.seccomp_rule_add_array.argtypes = [
    ctypes.c_void_p,
    ctypes.c_uint32,
    ctypes.c_int,
    ctypes.c_uint,
    ctypes.c_void_p,
]
lib.seccomp_load.argtypes = [ctypes.c_void_p]
lib.seccomp_syscall_resolve_name.argtypes = [ctypes.c_char_p]


def values(unit: str, key: str) -> list[str]:
    """The values of a key, in order, one a line of the unit."""
    return [line.partition("=")[2] for line in unit.splitlines() if line.startswith(f"{key}=")]


def calls_of(name: str) -> set[str]:
    """The system calls of a group such as @system-service, or the one named."""
    if not name.startswith("@"):
        return {name}
    told = subprocess.run(
        ["systemd-analyze", "syscall-filter", name], check=True, capture_output=True, text=True
    ).stdout
    members = [line.strip() for line in told.splitlines()[1:] if line.strip() and "#" not in line]
    return set().union(*map(calls_of, members))


def allowed_calls(lines: list[str]) -> set[str]:
    """What SystemCallFilter lines leave: the first allows, one with ~ takes away."""
    allowed = calls_of("@default")
    for line in lines:
        named = set().union(*map(calls_of, line.lstrip("~").split()))
        allowed = allowed - named if line.startswith("~") else allowed | named
    return allowed


def load(default: int, rules: list[tuple[int, str, list[Comparison]]]) -> None:
    """Put one filter over this process and its children, for good."""
    context = lib.seccomp_init(default)
    for action, call, comparisons in rules:
        number = lib.seccomp_syscall_resolve_name(call.encode())
        if number >= 0:  # negative: not a call of this architecture
            array = (Comparison * len(comparisons))(*comparisons)
            if lib.seccomp_rule_add_array(context, action, number, len(comparisons), array) != 0:
                raise OSError(f"no rule for {call}")
    if lib.seccomp_load(context) != 0:
        raise OSError("seccomp_load failed")


def confine(unit: str) -> None:
    """Apply the unit's rules to this process.

    The allow list comes last: it may forbid adding filters.
    """
    refuse = ERRNO | errno.EPERM
    if values(unit, "MemoryDenyWriteExecute") == ["yes"]:
        both = [Comparison(2, MASKED_EQUAL, WRITE | EXEC, WRITE | EXEC)]
        becomes = [Comparison(2, MASKED_EQUAL, EXEC, EXEC)]
        shared = [Comparison(2, MASKED_EQUAL, SHM_EXEC, SHM_EXEC)]
        changes = [(refuse, call, becomes) for call in ("mprotect", "pkey_mprotect")]
        load(ALLOW, [(refuse, "mmap", both), *changes, (refuse, "shmat", shared)])
    families = " ".join(values(unit, "RestrictAddressFamilies")).split()
    if families:
        # Rules of one call are or-ed, and libseccomp allows one comparison per argument of a rule:
        # so each other family is named.
        ours = {int(getattr(socket, name)) for name in families}
        others = [Comparison(0, EQUAL, family) for family in range(max(ours)) if family not in ours]
        others.append(Comparison(0, GREATER, max(ours)))
        load(ALLOW, [(ERRNO | errno.EAFNOSUPPORT, "socket", [other]) for other in others])
    allowed = allowed_calls(values(unit, "SystemCallFilter"))
    number = getattr(errno, values(unit, "SystemCallErrorNumber")[0])
    load(ERRNO | number, [(ALLOW, call, []) for call in sorted(allowed)])


if __name__ == "__main__":
    confine(Path(sys.argv[1]).read_text())
    os.execv(sys.argv[2], sys.argv[2:])
