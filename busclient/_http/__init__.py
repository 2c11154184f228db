"""One call to the hub: the transports, its time-outs and retries, and its errors in the client's
words.

What a call means (a message, a command, a file) does not belong here; nothing here knows a route.
"""
