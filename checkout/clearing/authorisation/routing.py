"""Finds the account that a request names, through the token service where DE2 is a token."""

from __future__ import annotations

import msgspec

from checkout.clearing.authorisation.context import RequestContext
from checkout.clearing.hsm.keystore import KeyStore
from checkout.clearing.issuing.account_store import AccountStore
from checkout.clearing.messages import AuthorizationRequest
from checkout.clearing.scheme.participants import AccountRange, CardKind, Participants
from checkout.clearing.tokens.token_service import (
    Detokenised,
    TokenRefusal,
    detokenise,
    verify_token_cryptogram,
)
from checkout.clearing.tokens.vault import Vault


class RoutedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request with the account behind it: `card` is what DE2 named, `account` what it stands for.

    `card_range` is the range of `card`, whose issuer's keys made its cryptogram.
    `token_cryptogram_valid` is whether DE63's cryptogram fits; None where none was needed.
    """

    context: RequestContext
    card: str
    account: str
    card_range: AccountRange
    account_range: AccountRange
    token_cryptogram_valid: bool | None = None
    detokenised: Detokenised | None = None

    @property
    def request(self) -> AuthorizationRequest:
        """The request itself."""
        return self.context.request

    @property
    def holder(self) -> str:
        """The participant that keeps the account's books."""
        return self.account_range.participant

    @property
    def is_wallet(self) -> bool:
        """Whether the three-party house keeps the account."""
        return self.account_range.card_kind is CardKind.WALLET


class Routing:
    """Looks ranges and payment tokens up."""

    def __init__(
        self, participants: Participants, vault: Vault, accounts: AccountStore, keys: KeyStore
    ) -> None:
        self._participants = participants
        self._vault = vault
        self._accounts = accounts
        self._keys = keys

    def route(self, context: RequestContext) -> RoutedRequest | TokenRefusal:
        """The request with its account and ranges, or why it has none."""
        request, participants = context.request, self._participants
        card_range = participants.range_of(request.account)
        if card_range is None:
            return TokenRefusal(response_code="14", reason="no-such-range")
        if card_range.card_kind is not CardKind.TOKEN:
            return RoutedRequest(
                context=context,
                card=request.account,
                account=request.account,
                card_range=card_range,
                account_range=card_range,
            )
        token = self._vault.find(request.account)
        detokenised = detokenise(token, request, on=context.business_date)
        if isinstance(detokenised, TokenRefusal):
            return detokenised
        account_range = participants.range_of(detokenised.account)
        if account_range is None:
            return TokenRefusal(response_code="14", reason="token-of-nobody")
        return RoutedRequest(
            context=context,
            card=request.account,
            account=detokenised.account,
            card_range=card_range,
            account_range=account_range,
            token_cryptogram_valid=self._check_token_cryptogram(request),
            detokenised=detokenised,
        )

    def _check_token_cryptogram(self, request: AuthorizationRequest) -> bool | None:
        """Whether DE63's cryptogram fits and its counter is new; None where none was needed."""
        if request.icc is not None or request.token_cryptogram is None:
            return None
        key = self._keys.card_key(request.account, request.pan_sequence)
        verdict = verify_token_cryptogram(key, request)
        card = f"{request.account}/online"
        last = self._accounts.last_counter(card)
        if not verdict.valid or (last is not None and verdict.atc <= last):
            return False
        self._accounts.record_counter(card, verdict.atc)
        return True
