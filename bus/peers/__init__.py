"""The listener for clients of claude-peers and agentmesh: their protocol over the roster and
the log.

A process of its own (`python -m bus peers`), because their `kill-broker` ends whatever listens
there. `bus.peers.desk` has the routes, `bus.peers.proof` says who may use them, and
`bus.peers.listener` speaks HTTP.
"""
