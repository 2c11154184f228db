"""What a Claude Code session pays for the bus: its hooks, the status line, the MCP server.

`measure()` gives rows of (what, figure, demanded, met); ratios are within this run, on this
machine.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks import claude_mail, hubs, load

ROOT = Path(__file__).parents[2]
TIMES = 20
_INITIALIZE = {"method": "initialize", "params": {"protocolVersion": "2025-06-18"}}
_LIST = {"method": "tools/list"}

Row = tuple[str, str, str, bool | None]


def measure() -> list[Row]:
    """All rows; takes about a minute."""
    with hubs.scratch() as folder, hubs.hub(folder / "data") as hub:
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PYTHONPATH": str(ROOT),
            "BUS_URL": hub.url,
            "BUS_USER": load.USER,
            "BUS_PASS": load.PASSWORD,
            "BUS_NAME": "bench",
            "CLAUDE_PID": str(os.getpid()),
        }
        _run(environ, ["hook"], {"hook_event_name": "SessionStart", "session_id": "bench"})
        python, hook, line = _medians(environ)
        connect, tools = _connected(environ)
    weight = len(json.dumps(tools, separators=(",", ":"))) / 4
    return [
        (
            f"12. a hook with an empty inbox: times `python3 -c pass` ({python:.0f} ms)",
            f"{hook / python:.2f}  ({hook:.0f} ms)",
            "<= 2.5, 150 ms",
            hook / python <= 2.5 and hook <= 150,
        ),
        ("12. bus statusline: ms", f"{line:.0f}", "<= 60", line <= 60),
        ("12. bus mcp: ms until the tools are listed", f"{connect:.0f}", "<= 300", connect <= 300),
        (
            f"12. the schema of {len(tools)} tools: characters / 4",
            f"{weight:.0f}  (agentchattr about 850, mcp_agent_mail 24,700)",
            "<= 1500",
            weight <= 1500,
        ),
        *claude_mail.measure(),
    ]


def _medians(environ: dict[str, str]) -> tuple[float, float, float]:
    """Medians in ms of Python alone, a hook and the status line, taken in turns."""
    event = {"hook_event_name": "UserPromptSubmit", "session_id": "bench"}
    python, hook, line = [], [], []
    for _ in range(TIMES):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", "pass"], env=environ, check=True)
        python.append(time.perf_counter() - began)
        hook.append(_run(environ, ["hook"], event))
        line.append(_run(environ, ["statusline"], {}))
    first, second, third = (1000 * statistics.median(times) for times in (python, hook, line))
    return first, second, third


def _run(environ: dict[str, str], command: list[str], sent: dict[str, str]) -> float:
    """The seconds that a command takes."""
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "busclient", *command],
        env=environ,
        input=json.dumps(sent).encode(),
        capture_output=True,
        check=True,
    )
    return time.perf_counter() - began


def _connected(environ: dict[str, str]) -> tuple[float, list[dict[str, object]]]:
    """The median ms until a client of `bus mcp` has the tools, and the tools."""
    times, tools = [], list[dict[str, object]]()
    for _ in range(TIMES // 2):
        began = time.perf_counter()
        with subprocess.Popen(
            [sys.executable, "-m", "busclient", "mcp"],
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as server:
            assert server.stdin is not None and server.stdout is not None
            for number, request in enumerate((_INITIALIZE, _LIST)):
                server.stdin.write(json.dumps({"jsonrpc": "2.0", "id": number, **request}) + "\n")
                server.stdin.flush()
                answer = json.loads(server.stdout.readline())
            times.append(time.perf_counter() - began)
            server.stdin.close()
        tools = answer["result"]["tools"]
    return 1000 * statistics.median(times), tools
