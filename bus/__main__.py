"""`python -m bus`: run the hub, and look after its data folder."""

from bus.commands import main

main()
