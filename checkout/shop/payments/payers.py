"""Who can pay by an account that the shop's simulated banks know; given to the shop from above."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from checkout.acceptance.contract import Mode
from checkout.money import mask_account


@dataclass(frozen=True, slots=True, kw_only=True)
class Payer:
    """Someone who can pay; `account` is whole and must not be shown."""

    name: str
    title: str
    purpose: str
    kind: Literal["card", "phone", "wallet"]
    scheme: str
    account: str = field(repr=False)
    expiry: str | None  # YYMM
    pan_sequence: str | None  # three digits
    modes: tuple[Mode, ...]
    makes_trouble: bool  # whether this payer is there to fail; pages list those apart

    @property
    def masked(self) -> str:
        """The account as it may be shown."""
        return mask_account(self.account)

    def as_json(self) -> dict[str, Any]:
        """As `checkout payers --json` shows it."""
        return {
            "name": self.name,
            "title": self.title,
            "purpose": self.purpose,
            "kind": self.kind,
            "scheme": self.scheme,
            "account": self.masked,
            "modes": [str(mode) for mode in self.modes],
        }


class Payers(Protocol):
    """Everyone who can pay."""

    def all(self) -> tuple[Payer, ...]:
        """Every payer, in the order in which pages list them."""

    def named(self, name: str) -> Payer:
        """The payer of that name; ShopError(unknown-payer)."""

    def name_of(self, account: str | None) -> str | None:
        """The name of the payer with that account, None for a stranger."""
