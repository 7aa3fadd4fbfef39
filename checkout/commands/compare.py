"""`checkout compare`: the side-by-side run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from checkout.commands.common import CommandError
from checkout.commands.pay_qr import payer_pages
from checkout.comparison import compare


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line gives to `checkout compare`."""

    payments: int
    scenario: str | None
    seed: int
    json: Path | None
    html: Path | None


def run(options: Options) -> int:
    """Check the options, then run the comparison over the pages that real phones use."""
    if options.payments < 1:
        raise CommandError(f"payments: expected one or more, got {options.payments}")
    for name in ("json", "html"):
        path = getattr(options, name)
        if path is not None and path.is_dir():
            raise CommandError(f"{name}: {path} is a folder, expected a file's name")
    compare.run(
        payments=options.payments,
        seed=options.seed,
        scenario=options.scenario,
        json_file=options.json,
        html_file=options.html,
        serve_pages=payer_pages,
    )
    return 0
