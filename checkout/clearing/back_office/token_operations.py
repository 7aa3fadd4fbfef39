"""The token service's counter: provisioning, life cycle and keys of payment tokens."""

from __future__ import annotations

from typing import Any

from checkout.clearing.authorisation.backend import Backend
from checkout.clearing.authorisation.context import MessageContext
from checkout.clearing.hsm.keystore import KeyUsage, wrap_key
from checkout.clearing.tokens.limited_use_keys import issue_keys, personalise_secure_element
from checkout.clearing.tokens.token_service import (
    PaymentToken,
    TokenAction,
    TokenDomain,
    TokenError,
    TokenRefusal,
    Verification,
    advance,
    request_token,
    token_number,
    verify,
)
from checkout.database import micros
from checkout.money import mask_account

_KEY_PSN = "001"
#: Numbers of requested tokens begin here; those of the demo world lie below.
_FIRST_SERIAL = 500_000_000
#: Key serials have four bytes; what a phone claims to have had leaves room for many more.
_LAST_SERIAL = 0x7FFF_FFFF


class TokenDesk:
    """Every step of a payment token's life, as JSON in and out; the requestor gets its number."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def request(self, given: dict[str, Any], context: MessageContext) -> dict[str, Any]:
        """A requestor asks for a token of an account; TokenError where it may not have one."""
        holder = self._backend.accounts.state(str(given["account"]))
        requestor = self._backend.participants.token_requestors.get(str(given["requestor"]))
        if holder is None or requestor is None:
            raise TokenError("account or requestor: unknown")
        merchant = given.get("merchant")
        serial = self._backend.store.number("token-serial") or _FIRST_SERIAL
        made = request_token(
            token_number(serial),
            holder=holder,
            requestor=requestor,
            domain=TokenDomain(given["domain"]),
            expiry=str(given.get("expiry", holder.account.expiry)),
            reference=self._backend.vault.reference(holder.account.account),
            on=context.business_date,
            merchant=None if merchant is None else str(merchant),
        )
        if isinstance(made, TokenRefusal):
            raise TokenError(f"refused: {made.reason}")
        self._backend.store.put_number("token-serial", serial + 1)
        return self._kept(made)

    def verify(self, given: dict[str, Any], context: MessageContext) -> dict[str, Any]:
        """The outcome of identification and verification, told by the issuer."""
        del context
        token = self._find(given)
        method = Verification(given["method"])
        return self._kept(verify(token, method, passed=given["passed"] is True))

    def advance(self, given: dict[str, Any], context: MessageContext) -> dict[str, Any]:
        """Activate, suspend, resume or delete."""
        del context
        return self._kept(advance(self._find(given), TokenAction(given["action"])))

    def keys(self, given: dict[str, Any], context: MessageContext) -> dict[str, Any]:
        """New limited-use or single-use keys for a phone, each as a TR-31 block.

        The blocks are under the zone key of the token service. `after` is the newest serial that
        the phone has had; `issued_us` lets it count a key's life by its own clock.
        """
        token = self._find(given)
        kind = str(given.get("kind", "limited-use"))
        name = f"key-serial/{token.number}"
        first = max(self._backend.store.number(name) or 0, _after(given)) + 1
        issued = issue_keys(
            token, self._card_key(token), kind=kind, first_serial=first, now=context.now
        )
        transport = self._backend.keys.zone_key("token-service")
        for one in issued:
            self._backend.vault.keep_key(one.record)
        self._backend.store.put_number(name, issued[-1].record.serial)
        return {
            "issued_us": context.at_us,
            "keys": [
                {
                    "serial": one.record.serial,
                    "uses": one.record.uses_allowed,
                    "expires_us": micros(one.record.expires_at),
                    "key_block": wrap_key(transport, one.key, KeyUsage.CRYPTOGRAM_MASTER),
                }
                for one in issued
            ],
        }

    def personalise(self, given: dict[str, Any], context: MessageContext) -> dict[str, Any]:
        """What the trusted service manager writes into a phone's secure element."""
        del context
        token = self._find(given)
        made = personalise_secure_element(
            token,
            self._card_key(token),
            transport_key=self._backend.keys.zone_key("token-service"),
            aid=bytes.fromhex(str(given.get("aid", "A000000333010101"))),
        )
        return {
            "aid": made.aid.hex().upper(),
            "key_block": made.key_block,
            "key_check_value": made.key_check_value.hex().upper(),
            "tags": {f"{tag:X}": held.hex().upper() for tag, held in made.tags.items()},
        }

    def _find(self, given: dict[str, Any]) -> PaymentToken:
        token = self._backend.vault.find(str(given["payment_token"]))
        if token is None:
            raise TokenError("payment token: unknown")
        return token

    def _card_key(self, token: PaymentToken) -> bytes:
        return self._backend.keys.card_key(token.number, _KEY_PSN)

    def _kept(self, token: PaymentToken) -> dict[str, Any]:
        self._backend.vault.keep(token)
        return {
            "payment_token": token.number,
            "account": mask_account(token.account),
            "state": token.state.value,
            "domain": token.domain.value,
            "assurance": token.assurance,
            "expiry": token.expiry,
            "reference": token.reference,
            "requestor_id": token.requestor_id,
            "verification_tries_left": token.verification_tries_left,
        }


def _after(given: dict[str, Any]) -> int:
    """The newest serial of a phone that was provisioned before these tables were made."""
    after = given.get("after", 0)
    if not isinstance(after, int) or not 0 <= after <= _LAST_SERIAL:
        raise TokenError(f"after: expected a key's serial number, got {after!r}")
    return after
