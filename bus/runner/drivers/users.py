"""The users of a container: LXD takes numbers only, and leaves groups, home and name unset."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace

from bus.errors import NoSuchUser, TargetFailed
from bus.runner.drivers import scripts
from bus.runner.drivers.base import Ended, Printed, Run
from bus.runner.drivers.names import USER


def as_numbers(target: str, run: Run, look: Callable[[Run], Ended]) -> Run:
    """Return the run with its user as numbers, and with the home and name that LXD does not
    set; `look` runs a program in the target.

    Raises NoSuchUser, TargetFailed.
    """
    wanted, _, group = str(run.user).partition(":")
    if not USER.fullmatch(wanted) or (group and not (wanted.isdecimal() and group.isdecimal())):
        raise NoSuchUser(
            f"{target} has no user {run.user}: a name, a number, or two numbers with a colon."
        )
    asking = ("/bin/sh", "-c", scripts.PASSWD, "sh", wanted)
    looked = look(Run(asking, secrets.token_hex(16), printed=Printed(65536)))
    if looked.exit_code is None:
        raise TargetFailed(
            f"{target} did not say who {wanted} is: {looked.lost or 'it took too long'}."
            " Nothing was run."
        )
    line = looked.stdout.data.decode("utf-8", "replace").strip()
    if not line and not wanted.isdecimal():
        raise NoSuchUser(f"{target} has no user {wanted}.")
    name, uid, gid, home, groups, by = (
        line.split(":") if line.count(":") == 5 else (wanted, wanted, wanted, "/", "", "")
    )
    env = {"HOME": home or "/", "USER": name, "LOGNAME": name, **run.env}
    entering = () if group else _through(by, name, uid, gid, groups)
    return replace(run, user=f"{uid}:{group or gid}", env=env, by=entering)


def _through(by: str, name: str, uid: str, gid: str, groups: str) -> tuple[str, ...]:
    """Return how root of a container starts a shell that has all the groups of a user.

    Empty: nothing is needed, or nothing can do it.
    """
    if by.endswith("/setpriv"):
        return by, f"--reuid={uid}", f"--regid={gid}", f"--groups={groups}", "/bin/sh"
    # Without the -- it would take options of the program for its own.
    return (by, "-m", "-s", "/bin/sh", "--", name) if by.endswith("/su") else ()
