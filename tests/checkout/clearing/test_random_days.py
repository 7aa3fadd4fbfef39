"""Random business over both houses, with faults, against the single-threaded model.

Seeded and repeatable: a failure prints its seed, and `CLEARING_SEED=n` runs it again.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from checkout.clearing.authorisation.backend import Backend
from checkout.clearing.clock import SettableClock
from checkout.clearing.hsm.keystore import KeyStore
from checkout.clearing.hsm.pin import encrypt_pin_block
from checkout.clearing.iso8583.codec import pack, unpack
from checkout.clearing.iso8583.field_map import SHAPES, fields_of, response_of
from checkout.clearing.issuing.accounts import Account, DemoWorld
from checkout.clearing.issuing.world import World
from checkout.clearing.ledger.ledger import Balance, check_trial_balance
from checkout.clearing.messages import (
    AuthorizationRequest,
    AuthorizationResponse,
    Operation,
    OriginalElements,
    Reversal,
    TransactionType,
)
from checkout.clearing.queries import balances
from checkout.clearing.scheme.participants import CardKind
from checkout.clearing.store.sqlite import SqliteEngine
from checkout.clearing.store.store import Store
from checkout.clearing.switch.samples import CODE
from checkout.clearing.switch.session import Session
from checkout.clearing.switch.switch import Switch, UnanswerableMessage
from checkout.clearing.tokens.token_service import token_number
from checkout.database import DatabaseError
from checkout.money import Money
from tests.checkout.clearing.model import Booked, Model, Sent

_T = TransactionType
_PIN_KEY = bytes(range(16))
NOON = datetime(2026, 1, 5, 4, 0, tzinfo=UTC)
_KINDS = {_T.PURCHASE: "sale", _T.PREAUTHORISATION: "hold"}


def _account(prefix: str, serial: int, kind: CardKind, **more: object) -> Account:
    given = {
        "account": token_number(serial, prefix=prefix),
        "payer": f"{kind}-{serial}",
        "title": "model",
        "purpose": "model",
        "kind": kind,
        "currency": "CNY",
        "expiry": "3012",
        "pin": "123456",
        "balance_minor": 500_000,
        "barcode_level": "A",
        "barcode_contract_minor": 10**12,
    }
    return Account(**(given | more))  # type: ignore[arg-type]


def _world() -> World:
    # One that is soon empty, one that lasts some days, one that always has enough.
    debits = [
        _account("999901", n, CardKind.DEBIT, balance_minor=500_000 * 100**n) for n in range(3)
    ]
    credits = [
        _account("999903", n, CardKind.CREDIT, balance_minor=0, credit_line_minor=400_000)
        for n in range(2)
    ]
    wallet = _account("999980", 1, CardKind.WALLET, funding_account=debits[1].account)
    quick = _account("999980", 2, CardKind.WALLET, linked_account=debits[0].account)
    every = [*debits, *credits, wallet, quick]
    return World(
        accounts=DemoWorld(accounts={one.account: one for one in every}, payment_tokens={})
    )


@dataclass
class _Known:
    """A request that was sent, and what the model made of it."""

    request: AuthorizationRequest
    sent: Sent


class _Breaking(SqliteEngine):
    """An engine whose next commit can be made to fail."""

    breaks = False

    def write(self, statements: object) -> None:
        if self.breaks:
            self.breaks = False
            raise DatabaseError("database: made to fail")
        super().write(statements)  # type: ignore[arg-type]


class Business:
    """Drives switch and model side by side."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.random = random.Random(seed)
        self.folder, self.world = folder, _world()
        self.clock = SettableClock(lambda: NOON)
        accounts = self.world.accounts.accounts
        self.model = Model(
            available={n: one.balance_minor + one.credit_line_minor for n, one in accounts.items()},
            linked={n: one.linked_account for n, one in accounts.items() if one.linked_account},
            funding={n: one.funding_account for n, one in accounts.items() if one.funding_account},
        )
        self.known: list[_Known] = []
        self.stan = 0
        self.just_closed = False
        self.start()

    def start(self) -> None:
        """Start, or start again as after a crash, on what is in the tables."""
        self.engine = self.made_engine(f"sqlite:///{self.folder / 'model.db'}")
        self.backend = Backend(
            Store(self.engine), KeyStore(self.folder), self.world, clock=self.clock
        )
        self.backend.open_books(self.clock())
        self.switch = Switch(self.backend)
        self.session = Session(name="model", mac_key=None)
        self.session.participant = self.backend.participants.by_institution["90020001"]
        self.operator = Session(name="operator", mac_key=None, pin_key=_PIN_KEY)
        self.operator.participant = self.backend.participants.by_institution["90030001"]

    def made_engine(self, url: str) -> Any:
        """What the books are written with."""
        return _Breaking(url)

    def commit(self) -> None:
        """End a turn."""
        self.backend.store.commit()

    def run(self, operations: int, *, close_every: int = 400) -> None:
        """So many random operations, in turns of random length."""
        done = closing = 0
        while done < operations:
            turn = self.random.randint(1, 40)
            if self.random.random() < 0.01:
                self._lost_turn()
            for _ in range(turn):
                self.random.choice(_OPERATIONS)(self)
            self.commit()
            done += turn
            closing += turn
            if self.random.random() < 0.01:
                self.engine.close()
                self.start()
            if closing >= close_every:
                closing = 0
                self._close()
                self.just_closed = True
                self.check()
                self.just_closed = False
        self.check()
        self.engine.close()

    # -- operations -----------------------------------------------------------------------------

    def pay(self) -> None:
        """A purchase or a hold, mostly small."""
        kind = self.random.choice((_T.PURCHASE, _T.PURCHASE, _T.PREAUTHORISATION))
        account = self.random.choice(list(self.world.accounts.accounts))
        wallet = self.world.accounts.accounts[account].kind is CardKind.WALLET
        currency = "CNY" if wallet or self.random.random() < 0.9 else "JPY"
        amount = self.random.randint(1, self.random.choice((500, 20_000, 99_999)))
        request = self._request(kind, account, amount, currency)
        billing = self._billed(request)
        if billing > 100_000:
            return  # needs a PIN, which is not what is looked at here
        expected = self.model.pay(_KINDS[kind], account, amount, billing)
        self._ask(request, expected)

    def top_up(self) -> None:
        """Money from a bank account into a wallet, by its operator."""
        account = self.random.choice([n for n in self.world.accounts.accounts if n[:6] == "999980"])
        amount = self.random.randint(1, self.random.choice((500, 20_000, 99_999)))
        request = replace(
            self._request(_T.TOP_UP, account, amount, "CNY"),
            acquirer="90030001",
            forwarder="90030001",
            pin_block=encrypt_pin_block("123456", account, _PIN_KEY),
        )
        self._ask(request, self.model.top_up(account, amount))

    def follow(self) -> None:
        """Void, refund, completion or release of something earlier, fitting or not."""
        known = self._some()
        if known is None or known.sent.booked is None:
            return
        kind = self.random.choice(
            (_T.VOID, _T.REFUND, _T.REFUND, _T.COMPLETION, _T.COMPLETION_ADVICE)
            if known.request.transaction_type is not _T.PREAUTHORISATION
            else (_T.COMPLETION, _T.COMPLETION_ADVICE, _T.PREAUTHORISATION_VOID, _T.REFUND, _T.VOID)
        )
        whole = known.sent.booked.latest().amount
        amount = self.random.choice((whole, self.random.randint(1, whole * 13 // 10 + 1)))
        request = self._following(known.request, kind, amount)
        self._ask(request, self._expected(known.sent.booked, request))

    def reverse(self) -> None:
        """Reverse something, again and again perhaps."""
        known = self._some()
        if known is None:
            return
        for _ in range(self.random.choice((1, 1, 2))):
            expected = self.model.reverse(known.sent)
            response = self._answer(reversal_of(known.request))
            assert response.response_code == expected, known

    def repeat(self) -> None:
        """The same message again: 94, or an advice's answer again."""
        known = self._some()
        if known is None:
            return
        response = self._answer(known.request)
        advice = SHAPES[known.request.transaction_type][0] == "0220"
        assert response.response_code == (known.sent.code if advice else "94")

    def forestall(self) -> None:
        """A reversal that overtakes its original."""
        account = self.random.choice(list(self.world.accounts.accounts))
        request = self._request(_T.PURCHASE, account, 100, "CNY")
        assert self._answer(reversal_of(request)).response_code == "25"
        assert self._answer(request).response_code == "68"

    def garble(self) -> None:
        """A message that is cut off."""
        message = pack(fields_of(self._request(_T.PURCHASE, CODE.account, 100, "CNY")))
        cut = message[: self.random.randint(0, len(message) - 1)]
        try:
            (answer,) = self.switch.receive(cut, self.session, self.clock())
        except UnanswerableMessage:
            return
        assert unpack(answer)["39"] == "30"

    # -- parts ----------------------------------------------------------------------------------

    def check(self) -> None:
        """Balances equal, books balance, no entry in two states."""
        rows = self.backend.store.query
        found = balances(rows)
        check_trial_balance(found)
        for number, account in self.world.accounts.accounts.items():
            stored = self.backend.store.balance(f"payer/{number}/CNY")
            summed = found.get(f"payer/{number}/CNY")
            assert summed is None or stored == summed, "stored and summed balances differ"
            spendable = stored.available + account.credit_line_minor
            assert spendable == self.model.available[number], account.payer
        self._check_client_money(found)
        twice = rows(
            "SELECT count(*) FROM clearing_resolutions r JOIN clearing_entries e ON e.id = r.entry "
            "WHERE e.status <> 'pending'"
        )
        assert twice[0][0] == 0

    def _check_client_money(self, found: dict[str, Balance]) -> None:
        """Right after a close the operator keeps apart exactly what its payers have stored."""
        if not self.just_closed:
            return
        stored = [one.posted for name, one in found.items() if name.startswith("payer/999980")]
        assert -found["client-money/wallet-operator/CNY"].posted == sum(stored)

    def _close(self) -> None:
        operation = Operation(
            name="settle",
            arguments="{}",
            stan=1,
            transmitted_at=self.clock(),
            participant="90020001",
        )
        turn = self.backend.context(self.clock())
        answer = self.switch._operations.answer(operation, turn)
        assert answer.response_code == "00", answer.content
        self.backend.store.commit()
        self.model.close()
        self.clock.advance(timedelta(days=1))
        self.known = self.known[-600:]

    def _lost_turn(self) -> None:
        """A turn whose commit fails leaves nothing behind."""
        self.buy_in_vain()
        self.engine.breaks = True
        with pytest.raises(DatabaseError):
            self.backend.store.commit()
        self.engine.breaks = False
        self.backend.forget()

    def buy_in_vain(self) -> None:
        """A few purchases of a turn that is to be lost, which the model hears nothing of."""
        for _ in range(self.random.randint(1, 5)):
            account = self.random.choice(list(self.world.accounts.accounts))
            self._answer(self._request(_T.PURCHASE, account, 777, "CNY"))

    def _expected(self, booked: Booked, request: AuthorizationRequest) -> Sent:
        amount = request.amount_minor
        match request.transaction_type:
            case _T.VOID:
                return self.model.void(booked, amount)
            case _T.REFUND:
                return self.model.refund(booked, amount)
            case _T.PREAUTHORISATION_VOID:
                return self.model.release(booked, amount)
            case kind:
                hold = booked.latest()
                share = (2 * hold.billing * amount + hold.amount) // (2 * hold.amount)
                billing = amount if request.currency == "CNY" else share
                advice = kind is _T.COMPLETION_ADVICE
                return self.model.complete(booked, amount, billing, advice=advice)

    def _ask(self, request: AuthorizationRequest, expected: Sent) -> None:
        response = self._answer(request)
        assert response.response_code == expected.code, (request, expected)
        self.known.append(_Known(request, expected))

    def _answer(self, question: AuthorizationRequest | Reversal) -> AuthorizationResponse:
        now = self.clock()
        asked = question.request if isinstance(question, Reversal) else question
        session = self.operator if asked.forwarder == "90030001" else self.session
        (answer,) = self.switch.receive(pack(fields_of(question)), session, now)
        return response_of(unpack(answer), now)

    def _some(self) -> _Known | None:
        recent = self.known[-60:] if self.random.random() < 0.7 else self.known
        return self.random.choice(recent) if recent else None

    def _request(
        self, kind: TransactionType, account: str, amount: int, currency: str
    ) -> AuthorizationRequest:
        self.stan += 1
        return replace(
            CODE,
            transaction_type=kind,
            account=account,
            amount_minor=amount,
            currency=currency,
            stan=self.stan % 999_999 + 1,
            rrn=f"{self.stan:012d}",
            transmitted_at=self.clock().replace(microsecond=0),
            pin_block=None,
            condition="06" if kind is _T.PREAUTHORISATION else "00",
        )

    def _following(
        self, original: AuthorizationRequest, kind: TransactionType, amount: int
    ) -> AuthorizationRequest:
        made = self._request(kind, original.account, amount, original.currency)
        return replace(
            made,
            acquirer=original.acquirer,
            forwarder=original.forwarder,
            original=_named(original),
        )

    def _billed(self, request: AuthorizationRequest) -> int:
        """By the table of rates, which has tests of its own."""
        sale = Money(amount_minor=request.amount_minor, currency=request.currency)
        holder = self.world.participants.holder_of(request.account)
        assert holder is not None
        on = self.backend.context(self.clock()).business_date
        made = self.world.rates.amounts(
            sale, settlement="CNY", billing="CNY", participant=holder.id, on=on
        )
        return made.billing.into.amount_minor


def _named(original: AuthorizationRequest) -> OriginalElements:
    return OriginalElements(
        message_type=SHAPES[original.transaction_type][0],
        stan=original.stan,
        transmitted_at=original.transmitted_at,
        acquirer=original.acquirer,
        forwarder=original.forwarder,
    )


def reversal_of(request: AuthorizationRequest) -> Reversal:
    return Reversal(request=replace(request, original=_named(request)))


_OPERATIONS: tuple[Callable[[Business], None], ...] = (
    *[Business.pay] * 8,
    *[Business.top_up] * 2,
    *[Business.follow] * 6,
    *[Business.reverse] * 3,
    Business.repeat,
    Business.forestall,
    Business.garble,
)


def _do_business(folder: Path, seed: int, operations: int, close_every: int = 400) -> None:
    business = Business(folder, seed)
    try:
        business.run(operations, close_every=close_every)
    except BaseException:
        print(f"\nCLEARING_SEED={seed} repeats this")
        raise


@pytest.mark.parametrize(("seed", "a_day"), [(1, 400), (2, 100), (3, 40)])
def test_random_business_agrees_with_the_model(tmp_path: Path, seed: int, a_day: int) -> None:
    _do_business(tmp_path, int(os.environ.get("CLEARING_SEED", seed)), 1500, a_day)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_hundred_thousand_operations_agree_with_the_model(tmp_path: Path) -> None:
    _do_business(tmp_path, int(os.environ.get("CLEARING_SEED", random.randrange(10**9))), 100_000)
