"""`checkout readers`: what is plugged in, what stops it, and how to mend that."""

from __future__ import annotations

from dataclasses import dataclass

from checkout.commands.common import console, print_json
from devices.nfc.reader.diagnosis import diagnose, format_reports


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line gives to `checkout readers`."""

    json: bool


def run(options: Options) -> int:
    """Report in plain words, or as JSON."""
    reports = diagnose()
    if options.json:
        print_json({"readers": [report.as_json() for report in reports]})
    else:
        console().print(format_reports(reports), markup=False)
    return 0
