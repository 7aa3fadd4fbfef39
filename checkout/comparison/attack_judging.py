"""What an attack came to: cells from the switch's answers, or from what was seen at the counter."""

from __future__ import annotations

from dataclasses import replace

from checkout.clearing.rules import rules_of_china
from checkout.comparison.intruder import Asked
from checkout.comparison.results import Cell
from checkout.comparison.rig import Rig, Scene
from checkout.comparison.selling import Tried
from checkout.comparison.wording import money
from checkout.payment_records import PaymentState


def judged(scene: Scene, asked: Asked, step: str, loss: str = "") -> Cell:
    """A cell from the switch's answer to the attacker's own question."""
    words = f"the attacker's question answered {asked.response_code}"
    scene.shop_saw.append(words)
    cell = scene.conclude("works" if asked.approved else "declined")
    return replace(
        cell,
        step=step,
        stopped_by="nobody" if asked.approved else f"{_who(asked)}: {asked.reason}",
        loss=loss if asked.approved else "nothing",
        shop_saw=words,
        payer_saw=cell.payer_saw or "nothing",
        holds="the attacker, who sold to themselves" if asked.approved else "the payer",
    )


def seen(scene: Scene, *, works: bool, by: str, step: str, loss: str = "") -> Cell:
    """A cell from what was seen at the counter."""
    cell = scene.conclude("works" if works else "declined")
    return replace(
        cell, step=step, stopped_by="nobody" if works else by, loss=loss if works else "nothing"
    )


def _who(asked: Asked) -> str:
    if asked.response_code in ("--", "A0", "30", "94", "12"):
        return "the switch"
    return "the token service" if asked.reason.startswith("token-") else "the issuer"


def no_pin_loss(rig: Rig) -> str:
    """What taps without PIN can cost."""
    limit = rules_of_china().on(rig.stand.clock().date()).quickpass_no_pin_minor
    return f"{money(limit, 'CNY')} a tap until the card is blocked"


def code_loss(rig: Rig) -> str:
    """What codes can cost in a day."""
    limit = rules_of_china().on(rig.stand.clock().date()).dynamic_code_day_minor.get("B")
    return "" if limit is None else f"{money(limit, 'CNY')} a day at verification level B"


def is_paid(tried: Tried) -> bool:
    """Whether a try brought money."""
    return tried.payment is not None and tried.payment.state is PaymentState.APPROVED
