"""The closed days of the clearing backend, as the pages and the API ask for them."""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DatabaseError

from checkout.web.problems import Problem

if TYPE_CHECKING:
    from checkout.shop.shop import Shop

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


def report(shop: Shop, day: str) -> dict[str, Any]:
    """Net positions and statements of a closed day; Problem(date, unknown-settlement)."""
    wanted = parse_day(day)
    try:
        found = shop.books.settlement(wanted)
    except DatabaseError:  # the switch, which makes the tables, has not run on this database yet
        found = None
    if found is None:
        raise Problem(kind="unknown-settlement", detail=f"date: {day} has not been closed yet.")
    return found


def parse_day(text: str) -> date:
    """A date such as 2026-01-31; Problem(date) for anything else."""
    try:
        found = date.fromisoformat(text) if _DATE.fullmatch(text) else None
    except ValueError:
        found = None
    if found is None:
        detail = f"date: expected a date such as 2026-01-31, got {text[:32]!r}"
        raise Problem(kind="date", detail=detail, field="date")
    return found
