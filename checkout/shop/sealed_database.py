"""Holds a database to the one shop key that its encrypted rows need.

The first shop that opens a database records the check value of its key there.
"""

from __future__ import annotations

from pathlib import Path

from cryptography.fernet import InvalidToken
from sqlalchemy import Engine, insert, select
from sqlalchemy.exc import IntegrityError

from checkout.encryption import KeyLost, Seal, shop_key_file
from checkout.shop import tables

_NAME = "shop-key-check"


def open_seal(home: Path, engine: Engine) -> Seal:
    """The seal of `home`, with a new key only where this database needs no older one.

    Raises KeyLost for a key that is missing or another than the one that encrypted the rows.
    """
    recorded = _recorded(engine)
    sealed = _sealed_row(engine) if recorded is None else None
    path = shop_key_file(home)
    if not path.exists() and (recorded is not None or sealed is not None):
        raise _lost(path, "this file is missing")
    seal = Seal(home)
    if recorded is None:
        if sealed is not None and not _opens(seal, sealed):
            raise _lost(path, "this is another key than the database was encrypted with")
        recorded = _record(engine, seal.check_value())
    if recorded != seal.check_value():
        raise _lost(path, "this is another key than the database was encrypted with")
    return seal


def _lost(path: Path, what: str) -> KeyLost:
    return KeyLost(
        f"{path}: {what}; it protects what refunds and reversals send, webhook secrets and printed "
        "codes: restore the file, or start the demo afresh with `checkout reset`"
    )


def _recorded(engine: Engine) -> int | None:
    numbers = tables.numbers
    with engine.connect() as connection:
        value = connection.scalar(select(numbers.c.value).where(numbers.c.name == _NAME))
    return None if value is None else int(value)


def _record(engine: Engine, check_value: int) -> int:
    """Record the check value unless another process has; returns the recorded one."""
    try:
        with engine.begin() as connection:
            connection.execute(insert(tables.numbers), {"name": _NAME, "value": check_value})
    except IntegrityError:
        return _recorded(engine) or check_value
    return check_value


def _sealed_row(engine: Engine) -> bytes | None:
    """An encrypted row of a database without a check value; None where it has no such row."""
    sealed = tables.payments.c.sealed_request
    with engine.connect() as connection:
        row = connection.scalar(select(sealed).where(sealed.is_not(None)).limit(1))
    return None if row is None else bytes(row)


def _opens(seal: Seal, sealed: bytes) -> bool:
    try:
        seal.open(sealed)
    except InvalidToken:
        return False
    return True
