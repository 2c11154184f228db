"""What records mean: tables that the log can rebuild at any time, and the queries over them.

A module a noun holds both: its projection writes the tables, from what the log has. Nothing here
appends, and nothing outside writes to a table.
"""
