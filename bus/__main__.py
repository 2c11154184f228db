"""`python -m bus`: run the hub, and look after its data folder."""

from bus.server.commands import main

main()
