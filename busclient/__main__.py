"""`python -m busclient` is `bus`."""

from busclient._cli import main

main()
