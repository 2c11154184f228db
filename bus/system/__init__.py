"""The machine below: file modes, sockets, which errors pass by themselves, and how work takes turns
in a process.

Nothing here knows what a message is.
"""
