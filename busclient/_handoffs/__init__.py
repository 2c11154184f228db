"""Notes from one session to the next, in a git clone that a fleet shares; and the clone itself.

Only git and the file system: nothing here speaks to a hub.
"""
