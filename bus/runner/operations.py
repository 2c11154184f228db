"""What a checked call tells a driver to do."""

from __future__ import annotations

import base64
from typing import Any

from bus.model.calls import Call
from bus.runner.answers import Answer
from bus.runner.drivers.base import Driver, Printed, Run, Write


def act(driver: Driver, call: Call, restores_kept: int) -> Answer:
    """Do what a container call says; return what it changed."""
    act, target, request = call.request["act"], call.target, call.request
    if act == "start":
        return {"changed": driver.start(target)}
    if act == "stop":
        return {"changed": driver.stop(target, request["timeout_s"], request["force"])}
    if act == "snapshot":
        return {"changed": True, "snapshot": driver.snapshot(target, request.get("snapshot"))}
    if act == "delete-snapshot":
        driver.delete_snapshot(target, request["snapshot"])
        return {"changed": True, "snapshot": request["snapshot"]}
    done = driver.restore(
        target, request["snapshot"], restores_kept if request["snapshot_first"] else 0
    )
    answer: Answer = {"changed": True, "snapshot": done.snapshot}
    if done.saved is not None:
        answer["saved"] = done.saved
    if done.removed:
        answer["removed"] = list(done.removed)
    return answer


def run(call: Call, id: str, printed: Printed) -> Run:
    """Return the run that an exec asks for, marked with its id."""
    request: dict[str, Any] = call.request
    return Run(
        argv=tuple(request["argv"]),
        marker=id,
        timeout_s=request["timeout_s"],
        cwd=request.get("cwd"),
        user=request.get("user"),
        env=request.get("env", {}),
        stdin=base64.b64decode(request.get("stdin", "")),
        printed=printed,
    )


def write(call: Call, base_sha256: str | None, real: str | None) -> Write:
    """Return the write that a call asks for.

    With `base_sha256` it replaces only a file with that content, with `real` only one at that path.
    """
    request = dict(call.request)
    if base_sha256 is not None:
        # The admin said yes to a difference from this very file.
        request.setdefault("if_sha256", base_sha256)
    return Write(content=base64.b64decode(request.pop("content")), real=real, **request)
