"""What has to prove the payer for each way that an account number comes in (DE22); dated rules.

A number and its expiry are printed on the card and told to every shop: by themselves they prove
nothing. Which proof suffices where is agreed between issuers, acquirers and merchants, and stands
in the rule sets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from checkout.clearing.messages import AuthorizationRequest, EntryMode
from checkout.clearing.scheme.participants import CardKind


class Proof(StrEnum):
    """What may prove the payer where a number was not read from a chip."""

    CRYPTOGRAM = "cryptogram"  # of the card (DE55) or of its payment token (DE63)
    PIN = "pin"  # DE52
    EXPIRY = "expiry"  # DE14 as the issuer knows it: no more than what is printed on the card
    NONE = "none"  # the number alone


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryRule:
    """One agreement; where a tuple is empty it holds for all, and the last one that fits counts.

    `ranges` are issuer identification numbers, `acquirers` institution numbers (DE32), `merchants`
    DE42 and `mccs` first and last of a span of DE18. Without any `proofs` it is not permitted.
    """

    entry_modes: tuple[EntryMode, ...]
    proofs: tuple[Proof, ...]
    cards: tuple[CardKind, ...] = ()
    ranges: tuple[str, ...] = ()
    acquirers: tuple[str, ...] = ()
    countries: tuple[str, ...] = ()
    merchants: tuple[str, ...] = ()
    mccs: tuple[tuple[int, int], ...] = ()

    def fits(self, request: AuthorizationRequest, *, account: str, kind: CardKind) -> bool:
        """Whether it speaks of this request, of an entry mode of its own, and that account."""
        return (
            (not self.cards or kind in self.cards)
            and (not self.ranges or account.startswith(self.ranges))
            and (not self.acquirers or request.acquirer in self.acquirers)
            and (not self.countries or request.country in self.countries)
            and (not self.merchants or request.merchant_id in self.merchants)
            and (not self.mccs or any(one <= int(request.mcc) <= last for one, last in self.mccs))
        )


def by_entry_mode(rules: Iterable[EntryRule]) -> dict[str, tuple[EntryRule, ...]]:
    """The rules that speak of each entry mode (two digits of DE22), the last of the file first."""
    found: dict[str, tuple[EntryRule, ...]] = {}
    for rule in rules:
        for mode in rule.entry_modes:
            found[mode.value] = (rule, *found.get(mode.value, ()))
    return found


def needed_proofs(
    rules: Mapping[str, tuple[EntryRule, ...]],
    request: AuthorizationRequest,
    *,
    account: str,
    kind: CardKind,
) -> tuple[Proof, ...] | None:
    """The proofs of which one is needed, () where it is not permitted, None where no rule fits."""
    for rule in rules.get(request.entry_mode.value, ()):
        if rule.fits(request, account=account, kind=kind):
            return rule.proofs
    return None


def parse_entry_rule(entry: dict[str, Any]) -> EntryRule:
    """A rule out of its TOML table; ValueError names what is wrong with it."""
    known = dict(entry)
    modes, proofs = known.pop("entry_modes", ()), known.pop("proofs", None)
    cards, mccs = known.pop("cards", ()), known.pop("mccs", ())
    known.pop("assumption", None)
    rest = {name: _texts(name, held) for name, held in known.items()}
    if proofs is None or not modes:
        raise ValueError("entry: expected entry_modes and proofs")
    if unknown := rest.keys() - {"ranges", "acquirers", "countries", "merchants"}:
        raise ValueError(f"entry: unknown {sorted(unknown)[0]!r}")
    return EntryRule(
        entry_modes=tuple(EntryMode(one) for one in _texts("entry_modes", modes)),
        proofs=tuple(Proof(one) for one in _texts("proofs", proofs)),
        cards=tuple(CardKind(one) for one in _texts("cards", cards)),
        mccs=tuple(_span(one) for one in _texts("mccs", mccs)),
        **rest,
    )


def _texts(name: str, held: Any) -> tuple[str, ...]:
    if not isinstance(held, list | tuple) or not all(isinstance(one, str) for one in held):
        raise ValueError(f"entry: {name}: expected a list of texts, got {held!r}")
    return tuple(held)


def _span(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    if not (first.isdigit() and (last or first).isdigit()):
        raise ValueError(f"entry: mccs: expected 5411 or 5411-5499, got {text!r}")
    return int(first), int(last or first)
