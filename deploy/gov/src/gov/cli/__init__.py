"""The command `gov`."""

from gov.cli.app import main

__all__ = ["main"]
