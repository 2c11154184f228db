"""The verbs of the hub, a module a noun: what posting, acknowledging, permitting or asking for
approval does.

Code here checks rights, appends records and queries the index. It knows nothing of HTTP, and
nothing of LXD or ssh.
"""
