"""Which tools a session may have, and the name of the MCP server that has them: old rules and flags
know it.
"""

SERVERS = {
    "default": "bus",
    "claude-net": "claude-net",
    "claudemail": "claudemail",
    "peers": "claude-peers",
}
