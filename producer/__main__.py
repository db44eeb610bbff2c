"""`python -m producer` is the command `agewell`."""

from producer.cli import main

main()
