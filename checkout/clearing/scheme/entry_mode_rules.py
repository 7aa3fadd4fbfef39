"""Which proof of the payer each entry mode (DE22) needs, by the rules of a date.

A number and its expiry are printed on the card and given to every shop, so by themselves they prove
nothing. Issuers, acquirers and merchants agree which proof suffices where; the rule sets record
that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from checkout.clearing.messages import AuthorizationRequest, EntryMode
from checkout.clearing.scheme.participants import CardKind


class Proof(StrEnum):
    """A proof of the payer."""

    CRYPTOGRAM = "cryptogram"  # of the card (DE55) or of its payment token (DE63)
    PIN = "pin"  # DE52
    EXPIRY = "expiry"  # DE14 as the issuer has it: no more than is printed on the card
    NONE = "none"  # the number alone


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryRule:
    """One agreement. An empty tuple means all; of several rules that fit, the last one counts.

    `ranges` are issuer identification numbers, `acquirers` institution numbers (DE32), `merchants`
    DE42 and `mccs` the first and last of a span of DE18. Without `proofs` the entry mode is not
    permitted.
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
        """Whether the rule is about this request and account; the entry mode is not looked at."""
        return (
            (not self.cards or kind in self.cards)
            and (not self.ranges or account.startswith(self.ranges))
            and (not self.acquirers or request.acquirer in self.acquirers)
            and (not self.countries or request.country in self.countries)
            and (not self.merchants or request.merchant_id in self.merchants)
            and (not self.mccs or any(low <= int(request.mcc) <= high for low, high in self.mccs))
        )


def by_entry_mode(rules: Iterable[EntryRule]) -> dict[str, tuple[EntryRule, ...]]:
    """The rules about each entry mode (two digits of DE22), the last of the file first."""
    by_mode: dict[str, tuple[EntryRule, ...]] = {}
    for rule in rules:
        for mode in rule.entry_modes:
            by_mode[mode.value] = (rule, *by_mode.get(mode.value, ()))
    return by_mode


def needed_proofs(
    rules: Mapping[str, tuple[EntryRule, ...]],
    request: AuthorizationRequest,
    *,
    account: str,
    kind: CardKind,
) -> tuple[Proof, ...] | None:
    """The proofs of which one is needed; () for a mode not permitted, None where no rule fits."""
    for rule in rules.get(request.entry_mode.value, ()):
        if rule.fits(request, account=account, kind=kind):
            return rule.proofs
    return None


def parse_entry_rule(entry: dict[str, Any]) -> EntryRule:
    """Read a rule from its TOML table; ValueError names what is wrong with it."""
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
        entry_modes=tuple(EntryMode(text) for text in _texts("entry_modes", modes)),
        proofs=tuple(Proof(text) for text in _texts("proofs", proofs)),
        cards=tuple(CardKind(text) for text in _texts("cards", cards)),
        mccs=tuple(_span(text) for text in _texts("mccs", mccs)),
        **rest,
    )


def _texts(name: str, held: Any) -> tuple[str, ...]:
    if not isinstance(held, list | tuple) or not all(isinstance(text, str) for text in held):
        raise ValueError(f"entry: {name}: expected a list of texts, got {held!r}")
    return tuple(held)


def _span(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    if not (first.isdigit() and (last or first).isdigit()):
        raise ValueError(f"entry: mccs: expected 5411 or 5411-5499, got {text!r}")
    return int(first), int(last or first)
