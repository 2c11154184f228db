"""Commands and files in containers (LXD, Incus), on machines (ssh) and in folders that play a
container.
"""
