"""The engine that keeps the log in files of JSON lines: appending, syncing, sealing, healing and
looking over.

`bus.log.base` has the promises that it keeps. Positions and file names mean nothing outside this
folder.
"""
