"""One message being answered: the context that goes through the rooms, and what comes out."""

from __future__ import annotations

from datetime import UTC, date, datetime
from functools import lru_cache

import msgspec

from checkout.clearing.hsm.decoded_proof import DecodedProof
from checkout.clearing.messages import AuthorizationRequest, AuthorizationResponse
from checkout.money import mask_account


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """An answer and why: `reason` is for the log, never for the wire."""

    response: AuthorizationResponse
    reason: str = ""


class MessageContext(msgspec.Struct, frozen=True, kw_only=True):
    """A message's number, its moment and its business date.

    `seq` is the number of the message and of the entry that it makes; `at_us` is the moment in
    microseconds since the epoch.
    """

    seq: int
    now: datetime
    at_us: int
    business_date: date


class RequestContext(MessageContext, frozen=True, kw_only=True):
    """A request with its number, moment and date; for a reversal, the request that it undoes.

    `pin_key` is the session's. `proof` is what the chip of this very request proves, where another
    process has verified it already.
    """

    request: AuthorizationRequest
    pin_key: bytes | None = None
    proof: DecodedProof | None = None

    def __repr__(self) -> str:
        """Only the number: a request names an account, and the PIN key is secret."""
        return f"RequestContext(seq={self.seq})"

    def with_request(self, request: AuthorizationRequest) -> RequestContext:
        """The same message asking something else, of which nothing has been verified."""
        return RequestContext(
            seq=self.seq,
            now=self.now,
            at_us=self.at_us,
            business_date=self.business_date,
            request=request,
            pin_key=self.pin_key,
        )

    @property
    def approval_code(self) -> str:
        """Six digits that no other message of the last million has."""
        return f"{self.seq % 1_000_000:06d}"

    def approve(self) -> Outcome:
        """An approval with its code and its business date."""
        return Outcome(
            response=AuthorizationResponse(
                response_code="00",
                stan=self.request.stan,
                rrn=self.request.rrn,
                approval_code=self.approval_code,
                settlement_date=self.business_date,
            )
        )

    def refuse(self, response_code: str, reason: str) -> Outcome:
        """A decline."""
        return Outcome(
            response=AuthorizationResponse(
                response_code=response_code, stan=self.request.stan, rrn=self.request.rrn
            ),
            reason=reason,
        )


def message_key(transmitted_at: datetime, stan: int, acquirer: str, terminal: str) -> str:
    """What identifies a request: DE7, DE11, DE32 and DE41."""
    institution = acquirer.lstrip("0") or "0"
    return f"{_second(transmitted_at)}{stan:06d}|{institution}|{terminal}"


def forestalled_key(key: str, request: AuthorizationRequest) -> str:
    """What identifies a request that was reversed before it came: its key and its content."""
    account = mask_account(request.account)
    return f"{key}|{request.forwarder}|{account}|{request.amount_minor}|{request.currency}"


@lru_cache(maxsize=64)
def _second(at: datetime) -> str:
    """Year to second in fourteen digits of UTC, cached: many messages carry the same second."""
    at = at.astimezone(UTC)
    return f"{at.year:04d}{at:%m%d%H%M%S}"
