"""The service that runs commands: the only part of the hub that may use LXD's socket, which is as
good as root.

It takes requests from the web workers over a unix socket (`protocol`; their end is `client`, the
two modules that the web may import), trusts nothing in them but the caller's own credential,
decides, records, runs the driver, records, and answers.
"""
