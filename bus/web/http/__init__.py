"""What every route shares: who calls, the body and the parameters of a request, the forms of an
answer, errors.

No route lives here, and nothing here calls a verb of the hub.
"""
