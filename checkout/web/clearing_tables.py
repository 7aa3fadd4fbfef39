"""What pages and API read from the tables of the clearing backend, which its switch creates.

Before the switch has run on a database, its tables are missing: then there is nothing to show.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy.exc import DatabaseError

from checkout.web.problems import Problem

if TYPE_CHECKING:
    from checkout.shop.shop import Shop

Found = TypeVar("Found")
Default = TypeVar("Default")

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


def read(query: Callable[[], Found], default: Default) -> Found | Default:
    """The result of `query`, or `default` before the switch has run on this database."""
    try:
        return query()
    except DatabaseError:
        return default


def settlement(shop: Shop, day: str) -> dict[str, Any]:
    """Net positions and statements of a closed day; Problem(date, unknown-settlement)."""
    wanted = parse_day(day)
    found = read(lambda: shop.books.settlement(wanted), None)
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
