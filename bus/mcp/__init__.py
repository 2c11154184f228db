"""The tools that Claude Code and other MCP clients see: names, arguments and results.

Pure: no Flask, no network. A tool maps its arguments to the hub's own HTTP routes, through a
function that the web layer gives, with the caller's credential. So a tool may do what its caller
may, and has no rules of its own.
"""
