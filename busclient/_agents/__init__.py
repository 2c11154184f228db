"""The agents of the fleet: who is there, and the lease on a session's own name.

Nothing here knows the command line.
"""
