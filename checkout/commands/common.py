"""What several commands share: settings from options, and output."""

from __future__ import annotations

import json
import os
import sys
from types import SimpleNamespace
from typing import Any

from rich.console import Console

from checkout.config import Config


class _Console(Console):
    """A console that raises BrokenPipeError, so that `cli.py` ends the command."""

    def on_broken_pipe(self) -> None:
        """Called within the handling of a BrokenPipeError."""
        raise


class CommandError(Exception):
    """Something a command cannot do, in one line that names the option."""


def config_from(options: SimpleNamespace, **changes: Any) -> Config:
    """The Config that the options and the environment ask for."""
    names = ("database", "host", "port", "reader", "public_url", "https", "workers")
    given = {name: getattr(options, name, None) for name in names}
    # None and an empty text leave the default. Zero is passed on: Config refuses it by name.
    asked = {name: value for name, value in given.items() if value is not None and value != ""}
    return Config(**(asked | changes))


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
