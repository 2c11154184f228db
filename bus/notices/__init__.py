"""What is to be told to services outside: the queue of notices, in `notices.db` beside the log.

The process `python -m bus notify` fills and empties it; the web workers show it to admins. It is
not in the log, and durable all the same: what stands there as sent was sent.
"""
