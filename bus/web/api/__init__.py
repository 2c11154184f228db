"""The routes, a blueprint a noun. A route parses its request, calls one verb of `bus.hub` and
replies.

What two routes share about HTTP belongs in `bus.web.http`, what they share about the noun in
`bus.hub` or `bus.model`.
"""
