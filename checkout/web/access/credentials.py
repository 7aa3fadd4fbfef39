"""The secrets of the pages: the operator's password, the merchant key and the cookie key.

They are created on the first run and stored in `CHECKOUT_HOME/keys`, readable by their owner alone.
Of the password only a scrypt hash is stored, so it can be shown exactly once.
"""

from __future__ import annotations

import hmac
import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from werkzeug.security import check_password_hash, generate_password_hash

from checkout.private_files import (
    create_private,
    private_folder,
    replace_private,
    touch_private,
)

_FILE = "web.json"
_MERCHANT_KEY_FILE = "merchant-key"
_SHOWN_FILE = "password-shown"
# No letters and digits that look alike on a terminal.
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
# About 2**20 guesses a second per gigabyte of an attacker's memory matter little at 59 bits.
_SCRYPT = "scrypt:16384:8:1"


class CredentialsError(Exception):
    """The secrets' file cannot be read or written; the message names it and says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """The secrets; `fresh_password` is set only on the run that created the password."""

    merchant_key: str = field(repr=False)
    password_hash: str = field(repr=False)
    signing_key: str = field(repr=False)
    fresh_password: str | None = field(default=None, repr=False)

    def password_matches(self, candidate: str) -> bool:
        """Whether `candidate` is the operator's password (scrypt, constant time)."""
        return check_password_hash(self.password_hash, candidate)

    def merchant_key_matches(self, candidate: str) -> bool:
        """Whether `candidate` is the merchant key (constant time)."""
        return hmac.compare_digest(self.merchant_key.encode(), candidate.encode())


def ensure(home: Path) -> Credentials:
    """The secrets stored under `home`, created there when they are missing.

    Several processes may call it at once: the first to finish wins, the others read its file.
    CredentialsError when the folder cannot be used or the file is not ours.
    """
    keys = home / "keys"
    path = keys / _FILE
    try:
        if path.exists():
            return _read(keys)
        private_folder(keys)
        password = _new_password()
        stored = {
            "merchant_key": secrets.token_urlsafe(24),
            "password_hash": generate_password_hash(password, method=_SCRYPT),
            "signing_key": secrets.token_hex(32),
        }
        if not create_private(path, json.dumps(stored, indent=1).encode()):
            return _read(keys)
        replace_private(keys / _MERCHANT_KEY_FILE, f"{stored['merchant_key']}\n".encode())
    except OSError as problem:
        raise CredentialsError(f"{path}: {problem.strerror or problem}") from problem
    return Credentials(fresh_password=password, **stored)


def unshown_password(home: Path) -> str | None:
    """A password that has not been shown yet; None after `password_shown`.

    Any command that opens a page creates the secrets without showing the password; this one then
    replaces it.
    """
    credentials = ensure(home)
    if (home / "keys" / _SHOWN_FILE).exists() or credentials.fresh_password is not None:
        return credentials.fresh_password
    password = _new_password()
    stored = {
        "merchant_key": credentials.merchant_key,
        "password_hash": generate_password_hash(password, method=_SCRYPT),
        "signing_key": credentials.signing_key,
    }
    path = home / "keys" / _FILE
    try:
        replace_private(path, json.dumps(stored, indent=1).encode())
    except OSError as problem:
        raise CredentialsError(f"{path}: {problem.strerror or problem}") from problem
    return password


def password_shown(home: Path) -> None:
    """Record that the operator has seen the password; CredentialsError where that fails."""
    path = home / "keys" / _SHOWN_FILE
    try:
        touch_private(path)
    except OSError as problem:
        raise CredentialsError(f"{path}: {problem.strerror or problem}") from problem


def forget(home: Path) -> None:
    """Remove the secrets under `home`, so that the next `ensure` makes new ones."""
    for name in (_FILE, _MERCHANT_KEY_FILE, _SHOWN_FILE):
        (home / "keys" / name).unlink(missing_ok=True)


def _read(keys: Path) -> Credentials:
    path = keys / _FILE
    try:
        stored = json.loads(path.read_text("utf-8"))
        return Credentials(
            merchant_key=str(stored["merchant_key"]),
            password_hash=str(stored["password_hash"]),
            signing_key=str(stored["signing_key"]),
        )
    except (ValueError, KeyError, TypeError):
        raise CredentialsError(
            f"{path}: expected merchant_key, password_hash and signing_key; remove the file to "
            "have new ones made"
        ) from None


def _new_password() -> str:
    groups = ("".join(secrets.choice(_ALPHABET) for _ in range(4)) for _ in range(3))
    return "-".join(groups)
