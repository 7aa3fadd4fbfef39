"""What several commands share: settings from options, and output."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from rich.console import Console

from checkout.config import Config


class CommandError(Exception):
    """Something a command cannot do, in one line that names the option."""


def config_from(options: argparse.Namespace, **changes: Any) -> Config:
    """The Config that the options and the environment ask for."""
    names = ("database", "host", "port", "reader", "public_url", "https", "workers")
    given = {name: getattr(options, name) for name in names if getattr(options, name, None)}
    return Config(**(given | changes))


def print_json(value: dict[str, Any] | list[Any]) -> None:
    """One JSON value on standard output and nothing else."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def console() -> Console:
    """Where people read: standard output, plain where it is no terminal."""
    return Console(highlight=False, soft_wrap=True)
