"""The service that runs commands: the only part of the hub that may use LXD's socket, which is as good as root.

It takes requests from the web workers over a unix socket (`bus.wire`), trusts nothing in them but the caller's own
credential, checks shape and right again, records, runs the driver, records, and answers.
"""
