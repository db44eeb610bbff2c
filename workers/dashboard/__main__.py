"""`python -m workers.dashboard`."""

from workers.dashboard.server import main

main()
