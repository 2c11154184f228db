"""The part of the catalogue that is about this machine; see `busclient._cli.catalogue`."""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    """A command: the module that holds a click command of that name, what it does, and lines to
    copy.
    """

    module: str
    what: str
    examples: tuple[str, str]


HERE = {
    "Claude Code": {
        "install": Entry(
            "installing",
            "Make the bus part of every session of Claude Code",
            ("bus install claude-code", "bus install codex --print"),
        ),
        "hook": Entry(
            "claude_code", "Answer a hook of Claude Code", ("cat event.json | bus hook", "bus hook")
        ),
        "wait-for-mail": Entry(
            "claude_code",
            "Wait for mail that may wake a session; a hook",
            ("bus wait-for-mail", "BUS_WAKE=urgent bus wait-for-mail"),
        ),
        "worker": Entry(
            "working",
            "Start Claude for mail where no session is live",
            ("bus worker --dir .", "bus worker --dir . --once"),
        ),
        "mcp": Entry(
            "claude_code",
            "Serve the bus as tools for Claude, over MCP",
            ("bus mcp", "bus mcp --profile claude-net"),
        ),
        "statusline": Entry(
            "claude_code",
            "Print how much mail waits, for the status line",
            ("bus statusline", "bus statusline --and ./my-status-line"),
        ),
    },
    "This machine": {
        "status": Entry(
            "machine", "Say which hub this is and what waits", ("bus status", "bus status --json")
        ),
        "doctor": Entry(
            "machine",
            "Try each step to the hub; say what to do",
            ("bus doctor", "bus doctor --json"),
        ),
        "outbox": Entry(
            "outbox",
            "List, deliver or drop what waits for a hub that is away",
            ("bus outbox", "bus outbox --flush"),
        ),
        "join": Entry(
            "joining",
            "Join a hub: check the credential, write the settings",
            (
                "bus join https://bus.example.org --name laptop1",
                "bus join https://bus.example.org --invite CODE",
            ),
        ),
        "leave": Entry("joining", "Undo `bus join`", ("bus leave", "bus leave --json")),
        "up": Entry(
            "joining",
            "Start a hub on this machine, where none runs",
            ("bus up", "bus up --url http://127.0.0.1:8790"),
        ),
        "down": Entry(
            "joining", "End the hub that `bus up` started", ("bus down", "bus down --json")
        ),
        "completion": Entry(
            "completion",
            "Print a shell's completion script",
            ("source <(bus completion bash)", "bus completion fish"),
        ),
    },
}
