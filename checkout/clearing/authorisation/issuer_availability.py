"""Which issuers don't answer, and the approvals that wait for them: stand-in's memory."""

from __future__ import annotations

from dataclasses import replace

from checkout.clearing.authorisation.stand_in import StandInUsage
from checkout.clearing.iso8583.codec import pack
from checkout.clearing.iso8583.field_map import fields_of
from checkout.clearing.messages import AuthorizationRequest
from checkout.clearing.store import schema
from checkout.clearing.store.store import Store

_DOWN = "issuer-down/"


class IssuerAvailability:
    """Reads and writes in the store's batch, so that an outage survives a restart."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def is_down(self, participant: str) -> bool:
        """Whether an issuer doesn't answer."""
        return self._store.number(_DOWN + participant) == 1

    def set_down(self, participant: str, *, down: bool) -> None:
        """From now on this issuer doesn't answer, or answers again."""
        self._store.put_number(_DOWN + participant, int(down))

    def stand_in_usage(self, account: str) -> StandInUsage:
        """What was approved for one account in this outage and waits for its issuer."""
        # Commit first, so that the query counts this turn too; an outage need not be fast.
        self._store.commit()
        count, amount = self._store.query(
            "SELECT count(*), coalesce(sum(amount_minor), 0) FROM clearing_forwarding "
            "WHERE account = ? AND state = 'waiting'",
            (account,),
        )[0]
        return StandInUsage(count=count, amount_minor=int(amount))

    def store_approval(
        self, participant: str, account: str, request: AuthorizationRequest, seq: int
    ) -> None:
        """Store a request that was approved in its issuer's place; it carries no PIN."""
        message = pack(fields_of(replace(request, pin_block=None)))
        row = (seq, participant, account, request.amount_minor, "waiting", message)
        self._store.put(schema.PUT_FORWARDING, str(seq), row)
