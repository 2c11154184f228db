"""Messages that wait on this machine for a hub that is away: how they are kept, and their way to
the hub.

Nothing here decides when a message waits; that is the Bus's.
"""
