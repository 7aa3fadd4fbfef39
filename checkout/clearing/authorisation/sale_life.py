"""The life of a sale: its states, and what each later message does in each of them. No I/O.

The table says only whether a message may follow at all. How much may be refunded or charged back,
and until when, depends on amounts and dates: `refund_rules` and `settlement.disputes` know those.
"""

from __future__ import annotations

from enum import StrEnum


class SaleState(StrEnum):
    """What a sale, a hold or a return of money has come to.

    A sale that was refunded in part and then charged back counts as charged back: a dispute goes
    before a refund, and the end of a sale before both.
    """

    HELD = "held"  # pre-authorised: the payer's money is held
    EXPIRED = "expired"  # the hold has run out
    RELEASED = "released"  # the pre-authorisation was voided
    REPLACED = "replaced"  # by its completion, or by the entry that reinstated it
    SOLD = "sold"  # approved, not yet posted
    POSTED = "posted"
    VOIDED = "voided"
    REVERSED = "reversed"  # for good, even where it had been voided before
    PARTLY_REFUNDED = "partly-refunded"
    REFUNDED = "refunded"
    CHARGED_BACK = "charged-back"
    REPRESENTED = "represented"
    FINAL_FOR_PAYER = "final-for-payer"
    FINAL_FOR_MERCHANT = "final-for-merchant"


class FollowUp(StrEnum):
    """A message about an earlier one."""

    VOID = "void"
    RELEASE = "release"  # the void of a pre-authorisation
    COMPLETION = "completion"
    REFUND = "refund"
    REVERSAL = "reversal"  # 0420 about the sale, hold, completion or refund itself
    VOID_REVERSAL = "void-reversal"  # 0420 about its void or release
    CHARGEBACK = "chargeback"
    REPRESENTMENT = "representment"
    DECISION = "decision"  # the network's, in a dispute


class Effect(StrEnum):
    """What a follow-up does."""

    TAKE = "take"  # it is entered
    NOTHING = "nothing"  # answered 00, and no money moves: what it would undo stands no longer
    REFUSE = "refuse"  # answered 12


_S, _F = SaleState, FollowUp
_DISPUTED = (_S.CHARGED_BACK, _S.REPRESENTED, _S.FINAL_FOR_PAYER, _S.FINAL_FOR_MERCHANT)
#: The states in which a follow-up is entered. A reversal that is not in this table moves nothing
#: where the money has gone back already, and is refused where a refund or dispute builds on it.
_TAKEN: dict[FollowUp, frozenset[SaleState]] = {
    _F.VOID: frozenset({_S.SOLD}),
    _F.RELEASE: frozenset({_S.HELD}),
    _F.COMPLETION: frozenset({_S.HELD}),
    _F.REFUND: frozenset({_S.SOLD, _S.POSTED, _S.PARTLY_REFUNDED, _S.REFUNDED, *_DISPUTED}),
    _F.REVERSAL: frozenset({_S.HELD, _S.SOLD, _S.POSTED}),
    _F.VOID_REVERSAL: frozenset({_S.VOIDED, _S.RELEASED}),
    _F.CHARGEBACK: frozenset({_S.SOLD, _S.POSTED, _S.PARTLY_REFUNDED}),
    _F.REPRESENTMENT: frozenset({_S.CHARGED_BACK}),
    _F.DECISION: frozenset({_S.REPRESENTED}),
}
_BUILT_UPON = frozenset({_S.REPLACED, _S.PARTLY_REFUNDED, _S.REFUNDED, *_DISPUTED})
#: The states in which no money of the sale is with anybody but its payer.
ENDED = frozenset({_S.EXPIRED, _S.RELEASED, _S.VOIDED, _S.REVERSED})


def effect(state: SaleState, follow_up: FollowUp) -> Effect:
    """What a follow-up does to a sale in a state."""
    if state in _TAKEN[follow_up]:
        return Effect.TAKE
    if follow_up is FollowUp.VOID_REVERSAL:
        return Effect.NOTHING
    if follow_up is FollowUp.REVERSAL and state not in _BUILT_UPON:
        return Effect.NOTHING
    return Effect.REFUSE
