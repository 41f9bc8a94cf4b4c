"""`python -m jobkit`: the `jobkit` command, where scripts are not on the PATH."""

from jobkit.cli.app import main

main()
