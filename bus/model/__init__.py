"""Shapes and rules: what a message, a call or a permission is, and when one is refused.

Nothing here does I/O, reads a clock or the environment, or knows Flask: the code takes values and
returns values, or raises an error of `bus.errors`. A module is named after its noun; its namesakes
in `index`, `hub` and `web/api` do the rest.
"""
