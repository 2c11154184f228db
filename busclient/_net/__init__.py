"""`bus.net` and `bus.admin`: commands and files in other machines, what happened there, and what
admins decide.

Every name is one call to the hub and the typed form of its answer. Messages do not belong here, nor
what is printed.
"""
