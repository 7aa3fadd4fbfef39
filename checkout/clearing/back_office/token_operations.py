"""The token service's operations: provisioning, life cycle and keys of payment tokens."""

from __future__ import annotations

from collections.abc import Mapping
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
#: The largest key serial that a phone may name. A serial has four bytes: half of them stay free.
_LAST_SERIAL = 0x7FFF_FFFF


class TokenOperations:
    """Takes a payment token one step on. The token's number goes to its requestor, unmasked.

    Every method raises TokenError for a step that can't be taken.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def request(self, arguments: Mapping[str, Any], context: MessageContext) -> dict[str, Any]:
        """Provision a token of an account for a requestor; its state waits for verification."""
        holder = self._backend.accounts.state(str(arguments["account"]))
        requestor = self._backend.participants.token_requestors.get(str(arguments["requestor"]))
        if holder is None or requestor is None:
            raise TokenError("account or requestor: unknown")
        merchant = arguments.get("merchant")
        serial = self._backend.store.number("token-serial") or _FIRST_SERIAL
        token = request_token(
            token_number(serial),
            holder=holder,
            requestor=requestor,
            domain=TokenDomain(arguments["domain"]),
            expiry=str(arguments.get("expiry", holder.account.expiry)),
            reference=self._backend.vault.reference(holder.account.account),
            on=context.business_date,
            merchant=None if merchant is None else str(merchant),
        )
        if isinstance(token, TokenRefusal):
            raise TokenError(f"refused: {token.reason}")
        self._backend.store.put_number("token-serial", serial + 1)
        return self._store(token)

    def verify(self, arguments: Mapping[str, Any], context: MessageContext) -> dict[str, Any]:
        """Record the outcome of the issuer's identification and verification."""
        del context
        token = self._find(arguments)
        method = Verification(arguments["method"])
        return self._store(verify(token, method, passed=arguments["passed"] is True))

    def advance(self, arguments: Mapping[str, Any], context: MessageContext) -> dict[str, Any]:
        """Activate, suspend, resume or delete."""
        del context
        return self._store(advance(self._find(arguments), TokenAction(arguments["action"])))

    def issue_keys(self, arguments: Mapping[str, Any], context: MessageContext) -> dict[str, Any]:
        """New limited-use or single-use keys for a phone, each as a TR-31 block.

        The blocks are under the zone key of the token service. `after` is the newest serial that
        the phone has; from `issued_us` it counts a key's life by its own clock.
        """
        token = self._find(arguments)
        kind = str(arguments.get("kind", "limited-use"))
        name = f"key-serial/{token.number}"
        first = max(self._backend.store.number(name) or 0, _after(arguments)) + 1
        issued = issue_keys(
            token, self._card_key(token), kind=kind, first_serial=first, now=context.now
        )
        transport = self._backend.keys.zone_key("token-service")
        for issued_key in issued:
            self._backend.vault.store_key(issued_key.record)
        self._backend.store.put_number(name, issued[-1].record.serial)
        return {
            "issued_us": context.at_us,
            "keys": [
                {
                    "serial": issued_key.record.serial,
                    "uses": issued_key.record.uses_allowed,
                    "expires_us": micros(issued_key.record.expires_at),
                    "key_block": wrap_key(transport, issued_key.key, KeyUsage.CRYPTOGRAM_MASTER),
                }
                for issued_key in issued
            ],
        }

    def personalise(self, arguments: Mapping[str, Any], context: MessageContext) -> dict[str, Any]:
        """The data that the trusted service manager writes into a phone's secure element."""
        del context
        token = self._find(arguments)
        element = personalise_secure_element(
            token,
            self._card_key(token),
            transport_key=self._backend.keys.zone_key("token-service"),
            aid=bytes.fromhex(str(arguments.get("aid", "A000000333010101"))),
        )
        return {
            "aid": element.aid.hex().upper(),
            "key_block": element.key_block,
            "key_check_value": element.key_check_value.hex().upper(),
            "tags": {f"{tag:X}": held.hex().upper() for tag, held in element.tags.items()},
        }

    def _find(self, arguments: Mapping[str, Any]) -> PaymentToken:
        token = self._backend.vault.find(str(arguments["payment_token"]))
        if token is None:
            raise TokenError("payment token: unknown")
        return token

    def _card_key(self, token: PaymentToken) -> bytes:
        return self._backend.keys.card_key(token.number, _KEY_PSN)

    def _store(self, token: PaymentToken) -> dict[str, Any]:
        self._backend.vault.store_token(token)
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


def _after(arguments: Mapping[str, Any]) -> int:
    """The newest serial that the phone has, where it was provisioned before this database."""
    after = arguments.get("after", 0)
    if not isinstance(after, int) or not 0 <= after <= _LAST_SERIAL:
        raise TokenError(f"after: expected a key's serial number, got {after!r}")
    return after
