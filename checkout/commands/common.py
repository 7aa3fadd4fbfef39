"""What several commands share: their error, and output."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from rich.console import Console


class _Console(Console):
    """A console that raises BrokenPipeError, so that `cli.py` ends the command."""

    def on_broken_pipe(self) -> None:
        """Called within the handling of a BrokenPipeError."""
        raise


class CommandError(Exception):
    """Something a command cannot do, in one line that names the option."""


def print_json(value: dict[str, Any] | list[Any]) -> None:
    """One JSON value on standard output and nothing else."""
    plain = not speaks_unicode()
    sys.stdout.write(json.dumps(value, ensure_ascii=plain, indent=2) + "\n")


def speaks_unicode() -> bool:
    """Whether standard output can encode every character."""
    return (sys.stdout.encoding or "ascii").lower().replace("-", "").startswith("utf")


def shows_colour() -> bool:
    """Whether standard output is a terminal whose user wants escape codes (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def console() -> Console:
    """Standard output for people, without escape codes where it is no terminal."""
    return _Console(highlight=False, soft_wrap=True)
