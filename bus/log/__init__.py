"""Where records rest, and the outputs and contents that are too large for them.

`base` has what an engine promises; the rest of the hub knows only that. An engine never looks into
a record.
"""
