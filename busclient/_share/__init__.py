"""Files that travel beside the hub: `bus share` and the part of `bus get` that fetches them.

The file goes to a place that both machines reach (`places`) by a program of this machine: rclone,
sftp, or a mount (a module each). The message has a pointer (`pointer`) with the size and the
SHA-256. A received pointer is another's word: nothing here runs it, and a place counts only if the
reader's own settings name it.
"""
