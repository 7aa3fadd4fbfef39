"""`checkout compare`: the side-by-side run."""

from __future__ import annotations

import argparse

from checkout.commands.pay_qr import payer_pages, told_by_phone
from checkout.comparison import command
from checkout.comparison.stand import Pages


def run(options: argparse.Namespace) -> int:
    """Run it over the pages that real phones use."""
    return command.run(options, pages=Pages(serve=payer_pages, story=told_by_phone))
