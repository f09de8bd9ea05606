"""The command line: parse, call the library, print. Heavy imports wait until they are needed."""

from __future__ import annotations


def main() -> None:
    """Entry point of `calque`."""
    import sys

    from calque.cli.app import run

    sys.exit(run(sys.argv[1:]))
