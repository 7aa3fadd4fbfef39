"""A Config as one line of text, so that a role in a process of its own gets the very same one."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from checkout.acceptance.contract import Merchant
from checkout.config import Config


def encode(config: Config) -> str:
    """JSON of every setting."""
    return json.dumps(asdict(config) | {"home": str(config.home)})


def decode(text: str) -> Config:
    """The Config that `encode` wrote."""
    plain = json.loads(text)
    plain["home"] = Path(plain["home"])
    plain["merchant"] = Merchant(**plain["merchant"])
    return Config(**plain)
