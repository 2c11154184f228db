"""What is news and not history: who waits, who was here last, how much of the hub somebody holds
right now.

Workers share it through small files in the data folder. Nothing here is in the log, and all of it
may be lost.
"""
