"""`python -m taod`: the taod command."""

from taod.cli.main import main

main()
