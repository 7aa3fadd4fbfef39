"""Limited-use keys for phones, and the personalisation of a phone's secure element.

A phone without a secure element never holds the key of its payment token, only keys derived from
it that work for a few payments or a few days: what malware steals is soon worth nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from checkout.clearing.hsm import tdes
from checkout.clearing.hsm.card_keys import limited_use_key
from checkout.clearing.hsm.keystore import KeyUsage, wrap_key
from checkout.clearing.tokens.token_service import PaymentToken, TokenError, TokenState

#: Payments that one limited-use key is good for, its days, and the uses left at which more are due.
LIMITED_USES = 5
LIMITED_DAYS = 5
REPLENISH_AT_USES = 2
#: Single-use keys come in a batch.
SINGLE_USE_BATCH = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitedKey:
    """What the token service stores of a key that it issued; never the key itself."""

    payment_token: str = field(repr=False)
    serial: int
    uses_allowed: int
    expires_at: datetime
    uses: int = 0

    @property
    def uses_left(self) -> int:
        """How many payments it is still good for."""
        return self.uses_allowed - self.uses


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedKey:
    """A key on its way to the phone, with what is stored of it."""

    key: bytes = field(repr=False)
    record: LimitedKey


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyVerdict:
    """Whether a key may be used once more; `record` is what to store after this use.

    `reason` is empty, `key-unknown`, `key-used-up` or `key-expired`; `replenish` says that the
    phone should be given new keys.
    """

    valid: bool
    reason: str
    record: LimitedKey | None
    replenish: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Personalisation:
    """What the trusted service manager writes into a phone's secure element.

    `key_block` is the payment token's card key as a TR-31 block under the secure element's
    transport key; `tags` are the values that its application answers with, by EMV tag.
    """

    aid: bytes
    key_block: str = field(repr=False)
    key_check_value: bytes
    tags: dict[int, bytes] = field(repr=False)


def issue_keys(
    token: PaymentToken,
    token_key: bytes,
    *,
    kind: str,
    first_serial: int,
    now: datetime,
) -> tuple[IssuedKey, ...]:
    """Keys for an active payment token: one of several uses, or a batch of single-use ones.

    `kind` is `limited-use` or `single-use`; serials count up from `first_serial` and must never
    repeat for one payment token. TokenError for a token that isn't active.
    """
    if token.state is not TokenState.ACTIVE:
        raise TokenError(f"payment token: keys only when active, is {token.state}")
    counts = {"limited-use": (1, LIMITED_USES), "single-use": (SINGLE_USE_BATCH, 1)}
    if kind not in counts:
        raise TokenError(f"keys: expected limited-use or single-use, got {kind!r}")
    batch, uses = counts[kind]
    return tuple(
        IssuedKey(
            key=limited_use_key(token_key, serial),
            record=LimitedKey(
                payment_token=token.number,
                serial=serial,
                uses_allowed=uses,
                expires_at=now + timedelta(days=LIMITED_DAYS),
            ),
        )
        for serial in range(first_serial, first_serial + batch)
    )


def use_key(record: LimitedKey | None, *, now: datetime, others_left: int = 0) -> KeyVerdict:
    """Count one payment on the key whose serial number came with it.

    `others_left` are the uses left on the token's other unexpired keys.
    """
    if record is None:
        return KeyVerdict(valid=False, reason="key-unknown", record=None, replenish=True)
    if now >= record.expires_at:
        return KeyVerdict(valid=False, reason="key-expired", record=record, replenish=True)
    if record.uses_left <= 0:
        return KeyVerdict(valid=False, reason="key-used-up", record=record, replenish=True)
    after = replace(record, uses=record.uses + 1)
    low = after.uses_left + others_left <= REPLENISH_AT_USES
    return KeyVerdict(valid=True, reason="", record=after, replenish=low)


def serial_reason(uses_before: int) -> str:
    """Why a limited-use key with so many payments may make no more; empty if it may.

    For an issuer that sees only serial numbers: whatever the phone counts, a copied key is soon
    used up.
    """
    return "key-used-up" if uses_before >= LIMITED_USES else ""


def needs_keys(records: Iterable[LimitedKey], *, now: datetime) -> bool:
    """Whether a phone's unexpired keys are good for too few payments."""
    left = sum(record.uses_left for record in records if now < record.expires_at)
    return left <= REPLENISH_AT_USES


def personalise_secure_element(
    token: PaymentToken,
    token_key: bytes,
    *,
    transport_key: bytes,
    aid: bytes,
    pan_sequence: str = "01",
) -> Personalisation:
    """Make up the data that a secure element gets for an active payment token.

    `transport_key` (32 bytes, AES) is shared by the service manager and the secure element alone.
    """
    if token.state is not TokenState.ACTIVE:
        raise TokenError(f"payment token: personalised only when active, is {token.state}")
    number = bytes.fromhex(token.number + "F" * (len(token.number) % 2))
    track2 = f"{token.number}D{token.expiry}220"
    return Personalisation(
        aid=aid,
        key_block=wrap_key(transport_key, token_key, KeyUsage.CRYPTOGRAM_MASTER),
        key_check_value=tdes.encrypt(token_key, bytes(8))[:3],
        tags={
            0x5A: number,
            0x5F34: bytes.fromhex(pan_sequence),
            0x5F24: bytes.fromhex(token.expiry) + b"\x31",
            0x57: bytes.fromhex(track2 + "F" * (len(track2) % 2)),
            0x9F24: token.reference.encode("ascii"),
            0x9F19: bytes.fromhex("0" + token.requestor_id),
        },
    )
