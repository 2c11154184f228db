"""Claude Code on this machine: `hook` forwards its events to the hub, `waiter` wakes a session that
is idle, `status_line` says how much mail waits. `sessions` knows which name on the bus a session
has. What a model is shown, and when, is the hub's to say.
"""
