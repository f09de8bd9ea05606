"""`python -m calque.cli`, for where the entry point is not on the path."""

from calque.cli import main

main()
