"""What records mean: tables that the log can rebuild at any time, and the queries over them.

Nothing here appends, and nothing outside writes to a table: `apply` does, from what the log has.
"""
