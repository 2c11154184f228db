"""Commands, files, permissions and containers: what several profiles have under their own names."""

from __future__ import annotations

import base64
from typing import Any

from bus.mcp.results import FILE, Answer, output, safe
from bus.mcp.session import Session

_ALTERED = (
    "characters that hide, and tags of envelopes, are escaped here: do not write this text back;"
    " change the file in place with a command"
)


def run(session: Session, target: str, command: str | list[str], **more: Any) -> Answer:
    """Run a command: a list is a program and its arguments, a text is for the shell."""
    what = {"argv": command} if isinstance(command, list) else {"command": command}
    found = session.once("/api/exec", {"target": target, **what, **more})
    shown: Answer = {"target": target, "id": found.get("id"), "exit_code": found.get("exitCode")}
    for fact in ("state", "reason", "timed_out", "cancelled", "leaked", "truncated", "replayed"):
        if found.get(fact):
            shown[fact] = found[fact]
    for stream in ("stdout", "stderr"):
        shown[stream], cut = output(found.get(stream))
        if found.get(f"{stream}_encoding") == "base64":
            shown[f"{stream}_encoding"] = "base64"
        if cut is not None:
            shown[f"{stream}_cut"] = cut
    return shown


def read(session: Session, target: str, path: str) -> Answer:
    """Read a file."""
    found = session.post("/api/file/read", {"target": target, "path": path})
    text = found["content"]
    shown: Answer = {"target": target, "path": path, "size": found["size"]}
    shown |= {fact: found[fact] for fact in ("sha256", "mode") if fact in found}
    if found.get("encoding") != "utf-8":
        shown["encoding"] = found.get("encoding")
    if len(text) > FILE:
        shown["cut"] = (
            f"the first {FILE} of {len(text)} characters; the rest: a command, such as tail or sed"
        )
        text = text[:FILE]
    if safe(text) != text:
        shown["altered"] = _ALTERED
    return {**shown, "content": text}


def write(session: Session, target: str, path: str, content: str) -> Answer:
    """Write a file, whole."""
    fields: Answer = {"target": target, "path": path, "content": content}
    if "\0" in content:
        data = base64.b64encode(content.encode()).decode()
        fields |= {"content": data, "encoding": "base64"}
    found = session.once("/api/file/write", fields)
    kept = ("size", "sha256", "mode", "replayed")
    return {"target": target, "path": path, **{f: found[f] for f in kept if f in found}}


def permit(session: Session, source: str, target: str, allow: bool | None, **more: Any) -> Answer:
    """Allow, deny (False), or remove what was said before (None)."""
    fields = {"source": source, "target": target, "allow": allow, **more}
    return {"permission": session.post("/api/permit", fields)["permission"]}


def permissions(session: Session, **about: Any) -> Answer:
    """Return the permissions that the caller may see."""
    return {"permissions": session.get("/api/permissions", **about)["permissions"]}


def container(session: Session, act: str, name: str, snapshot: str | None = None) -> Answer:
    """Start, stop, snapshot or restore a container."""
    found = session.once(f"/api/container/{act}", {"name": name, "snapshot": snapshot})
    return {fact: value for fact, value in found.items() if fact != "ok"}


def activity(session: Session, hours: float | None) -> Answer:
    """Return what happened lately; bodies of messages are cut."""
    found = session.get("/api/activity", hours=hours, limit=100)
    for event in found["events"]:
        for text in ("body", "command"):
            if len(event.get(text) or "") > 300:
                event[text] = event[text][:300] + "…"
    return {"events": found["events"], "has_more": found["has_more"]}
