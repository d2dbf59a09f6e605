"""The command line: arguments in, text or JSON out, exit codes 0 ok, 1 failure, 2 usage."""

from __future__ import annotations

from ragstack.cli.app import main

__all__ = ["main"]
