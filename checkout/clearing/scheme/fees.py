"""What one payment costs and who gets it, to the minor unit, in either house."""

from __future__ import annotations

from datetime import date

import msgspec

from checkout.clearing.scheme.participants import CardKind
from checkout.clearing.scheme.rules import House, Rules, RuleSet, part_of, rules_of_china
from checkout.money import share_of


class FeeSplit(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of one payment's amount, all in minor units of the payment's currency.

    In the four-party house the merchant pays interchange, the acquirer's network fee and the
    acquirer's own part; the issuer pays its network fee from the interchange. In the
    three-party house the merchant pays the operator, who pays the bank of a linked account.
    """

    amount_minor: int
    house: House
    interchange_minor: int = 0  # acquirer to issuer
    network_from_acquirer_minor: int = 0
    network_from_issuer_minor: int = 0
    acquirer_minor: int = 0
    operator_minor: int = 0  # what the operator keeps
    bank_minor: int = 0  # operator to the bank of a linked account

    @property
    def merchant_fee_minor(self) -> int:
        """All that the merchant pays."""
        return (
            self.interchange_minor
            + self.network_from_acquirer_minor
            + self.acquirer_minor
            + self.operator_minor
            + self.bank_minor
        )

    @property
    def merchant_minor(self) -> int:
        """The merchant's payout."""
        return self.amount_minor - self.merchant_fee_minor

    @property
    def issuer_minor(self) -> int:
        """What the issuer keeps: interchange less its network fee."""
        return self.interchange_minor - self.network_from_issuer_minor

    @property
    def network_minor(self) -> int:
        """What the network gets from both sides."""
        return self.network_from_acquirer_minor + self.network_from_issuer_minor

    def shares(self) -> dict[str, int]:
        """What each party ends up with; the parts add up to the amount."""
        return {
            "merchant": self.merchant_minor,
            "issuer": self.issuer_minor,
            "network": self.network_minor,
            "acquirer": self.acquirer_minor,
            "operator": self.operator_minor,
            "bank": self.bank_minor,
        }


def fees(
    amount_minor: int,
    *,
    card_kind: CardKind,
    mcc: str,
    on: date,
    house: House = House.FOUR_PARTY,
    currency: str = "CNY",
    linked: bool = False,
    rules: Rules | None = None,
) -> FeeSplit:
    """Split a payment's amount by the rules of a business date.

    Each part is rounded half up to the minor unit by itself, then capped; the merchant gets the
    rest. The tariff `abroad`, without caps, holds for other currencies than renminbi. `linked` is
    for a quick payment from a linked bank account. ValueError for an amount below one minor unit.
    """
    if amount_minor <= 0:
        raise ValueError(f"amount: expected more than zero, got {amount_minor}")
    rules = rules or rules_of_china()
    rule_set = rules.on(on)
    if house is House.THREE_PARTY:
        return _three_party(amount_minor, rule_set, linked=linked)
    tariff = rule_set.tariff(
        category=rules.category(mcc),
        card=card_kind,
        place="home" if currency == "CNY" else "abroad",
    )
    return FeeSplit(
        amount_minor=amount_minor,
        house=house,
        interchange_minor=part_of(amount_minor, tariff.issuer_ppm, tariff.issuer_cap_minor),
        network_from_acquirer_minor=part_of(
            amount_minor, tariff.network_from_acquirer_ppm, tariff.network_from_acquirer_cap_minor
        ),
        network_from_issuer_minor=part_of(
            amount_minor, tariff.network_from_issuer_ppm, tariff.network_from_issuer_cap_minor
        ),
        acquirer_minor=part_of(amount_minor, tariff.acquirer_ppm, tariff.acquirer_cap_minor),
    )


def returned(split: FeeSplit, *, refunded_before_minor: int, refund_minor: int) -> FeeSplit:
    """The fees that go back with a refund, as a split of the refunded amount.

    A fee's part in all refunds so far is rounded half up, and what went back before is deducted. So
    refunds that add up to the payment return exactly its fees. ValueError for more than was paid.
    """
    after = refunded_before_minor + refund_minor
    if refund_minor <= 0 or refunded_before_minor < 0 or after > split.amount_minor:
        raise ValueError(f"refund: {refund_minor} does not fit {split.amount_minor} paid")

    def part(fee_minor: int) -> int:
        return share_of(fee_minor, after, split.amount_minor) - share_of(
            fee_minor, refunded_before_minor, split.amount_minor
        )

    return FeeSplit(
        amount_minor=refund_minor,
        house=split.house,
        interchange_minor=part(split.interchange_minor),
        network_from_acquirer_minor=part(split.network_from_acquirer_minor),
        network_from_issuer_minor=part(split.network_from_issuer_minor),
        acquirer_minor=part(split.acquirer_minor),
        operator_minor=part(split.operator_minor),
        bank_minor=part(split.bank_minor),
    )


def _three_party(amount_minor: int, rule_set: RuleSet, *, linked: bool) -> FeeSplit:
    fee = part_of(amount_minor, rule_set.wallet_operator_ppm)
    bank = min(part_of(amount_minor, rule_set.wallet_bank_ppm), fee) if linked else 0
    return FeeSplit(
        amount_minor=amount_minor,
        house=House.THREE_PARTY,
        operator_minor=fee - bank,
        bank_minor=bank,
    )
