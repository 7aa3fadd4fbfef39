"""Injected faults: which messages go wrong, and how. Off unless someone asks for a rule file.

A rule matches fields of the question. Its fault happens between switch and wire, so that the books
stay right whatever the client sees. With `customary_amounts` the last two digits of the amount
choose the answer, as on many simulators: ...05, 51, 54, 55, 61, 91, 94 and 96.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from checkout.clearing.messages import RESPONSE_TEXTS, AuthorizationRequest, Reversal

CUSTOMARY_ENDINGS = ("05", "51", "54", "55", "61", "91", "94", "96")
_MATCHED = (
    "account",
    "amount_minor",
    "amount_ends",
    "acquirer",
    "currency",
    "entry_mode",
    "initiation",
    "mcc",
    "merchant_id",
    "terminal_id",
    "type",
)
_EFFECTS = ("code", "delay_ms", "drop", "duplicate", "malformed", "mac")
_REQUEST, _ANSWER = "request", "answer"


class FaultsError(ValueError):
    """A rule file that can't be used; the message names the rule and what was expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One rule. All of `match` must fit; `times` is how often it works, 0 for always.

    `code` answers instead of deciding. `delay_ms` holds the answer back. `drop` loses the
    ``request`` before it is decided or the ``answer`` after. `duplicate` sends the answer twice,
    `malformed` cuts it short, `mac` spoils its MAC.
    """

    name: str
    match: dict[str, str] = field(default_factory=dict)
    code: str | None = None
    delay_ms: int = 0
    drop: str | None = None
    duplicate: bool = False
    malformed: bool = False
    mac: bool = False
    times: int = 0


class Faults:
    """The rules in force, with how often each has been used; the first that fits is used."""

    def __init__(self, rules: tuple[Fault, ...] = (), *, customary_amounts: bool = False) -> None:
        self._rules = rules
        self._customary = customary_amounts
        self._used = [0] * len(rules)

    def for_question(self, question: AuthorizationRequest | Reversal) -> Fault | None:
        """The fault for this question, which counts as one of its `times`; None for no fault."""
        known = _known_fields(question)
        for at, rule in enumerate(self._rules):
            if rule.times and self._used[at] >= rule.times:
                continue
            if all(_fits(key, expected, known) for key, expected in rule.match.items()):
                self._used[at] += 1
                return rule
        ending = known["amount_minor"][-2:].zfill(2)
        if self._customary and known["type"] != "reversal" and ending in CUSTOMARY_ENDINGS:
            return Fault(name=f"amount ends in {ending}", code=ending)
        return None


def read_faults(path: Path) -> Faults:
    """Rules out of a TOML file; FaultsError where it can't be read."""
    try:
        return parse_faults(path.read_text("utf-8"))
    except OSError as error:
        raise FaultsError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise FaultsError(f"{path}: expected a TOML file in UTF-8") from None


def parse_faults(text: str) -> Faults:
    """Rules out of TOML: ``customary_amounts = true`` and any number of ``[[fault]]``."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise FaultsError(f"faults: {error}") from None
    unknown = set(tables) - {"fault", "customary_amounts"}
    if unknown:
        raise FaultsError(f"faults: unknown entry {sorted(unknown)[0]!r}")
    entries = tables.get("fault", [])
    if not isinstance(entries, list):
        raise FaultsError("faults: expected [[fault]] with two brackets")
    rules = tuple(_rule(entry, at) for at, entry in enumerate(entries, 1))
    return Faults(rules, customary_amounts=bool(tables.get("customary_amounts", False)))


def _rule(entry: Any, at: int) -> Fault:
    if not isinstance(entry, dict):
        raise FaultsError(f"fault {at}: expected a table, got {entry!r}")
    name = str(entry.get("name", f"fault {at}"))
    match = entry.get("match", {})
    if not isinstance(match, dict):
        raise FaultsError(f"{name}: match: expected a table of fields, got {match!r}")
    for key in match:
        if key not in _MATCHED:
            raise FaultsError(f"{name}: can't match {key!r}, only {', '.join(_MATCHED)}")
    unknown = set(entry) - {"name", "match", "times", *_EFFECTS}
    if unknown:
        raise FaultsError(f"{name}: unknown entry {sorted(unknown)[0]!r}")
    if not any(entry.get(effect) for effect in _EFFECTS):
        raise FaultsError(f"{name}: expected one of {', '.join(_EFFECTS)}")
    code = entry.get("code")
    if code is not None and code not in RESPONSE_TEXTS:
        raise FaultsError(f"{name}: code {code!r} is not in use here")
    if entry.get("drop") not in (None, _REQUEST, _ANSWER):
        raise FaultsError(f"{name}: drop: expected {_REQUEST!r} or {_ANSWER!r}")
    for key in ("delay_ms", "times"):
        number = entry.get(key, 0)
        if not isinstance(number, int) or isinstance(number, bool) or number < 0:
            raise FaultsError(f"{name}: {key}: expected a whole number, got {number!r}")
    return Fault(
        name=name,
        match={key: str(expected) for key, expected in match.items()},
        code=code,
        delay_ms=entry.get("delay_ms", 0),
        drop=entry.get("drop"),
        duplicate=bool(entry.get("duplicate", False)),
        malformed=bool(entry.get("malformed", False)),
        mac=bool(entry.get("mac", False)),
        times=entry.get("times", 0),
    )


def _known_fields(question: AuthorizationRequest | Reversal) -> dict[str, str]:
    request = question.request if isinstance(question, Reversal) else question
    kind = "reversal" if isinstance(question, Reversal) else request.transaction_type.value
    return {
        "account": request.account,
        "amount_minor": str(request.amount_minor),
        "acquirer": request.acquirer,
        "currency": request.currency,
        "entry_mode": request.entry_mode.value,
        "initiation": request.initiation.value,
        "mcc": request.mcc,
        "merchant_id": request.merchant_id,
        "terminal_id": request.terminal_id,
        "type": kind,
    }


def _fits(key: str, expected: str, known: dict[str, str]) -> bool:
    if key == "amount_ends":
        return known["amount_minor"].zfill(len(expected)).endswith(expected)
    if key == "account" and expected.endswith("*"):
        return known["account"].startswith(expected[:-1])
    return known[key] == expected
