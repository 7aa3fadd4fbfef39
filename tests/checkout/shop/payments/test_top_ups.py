"""Top-ups as the operator's server makes them: through silence, crashes and repeated reversals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from checkout.clearing.client.client import Exchange, NoAnswer, NotSent, SwitchClient
from checkout.clearing.client.open_client import open_client
from checkout.clearing.messages import AuthorizationRequest
from checkout.config import Config
from checkout.demo.payers import DemoPayers
from checkout.errors import ShopError
from checkout.money import Money
from checkout.shop.payments.top_ups import TopUp, TopUpRecords, TopUps, TopUpState
from checkout.shop.shop import WALLET_OPERATOR, Shop

WALLET = "9999801000000013"
BANK = "9999011000000019"
PIN = "123456"
TEN = Money(amount_minor=10_00, currency="CNY")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


class Cable:
    """The true line to the switch, on which answers and whole messages can get lost."""

    def __init__(self, client: SwitchClient) -> None:
        self._client = client
        self.lose: list[str] = []  # of the next messages: "answer", "message" or "" for neither

    def encrypt_pin(self, pin: str, account: str) -> bytes:
        return self._client.encrypt_pin(pin, account)

    def authorize(self, request: AuthorizationRequest, *, timeout_s: float) -> Exchange:
        return self._carry(lambda: self._client.authorize(request, timeout_s=timeout_s))

    def reverse(self, request: AuthorizationRequest, *, reason: str, timeout_s: float) -> Exchange:
        return self._carry(
            lambda: self._client.reverse(request, reason=reason, timeout_s=timeout_s)
        )

    def _carry(self, send: Callable[[], Exchange]) -> Exchange:
        lost = self.lose.pop(0) if self.lose else ""
        if lost == "unsent":
            raise NotSent("the line is down")
        answered = None if lost == "message" else send()
        if lost or answered is None:
            raise NoAnswer("no answer in time")
        return answered


class Scene:
    """A shop with a real switch, and the operator's cable to it."""

    def __init__(self, home: Path) -> None:
        self.ahead = timedelta()
        self.shop = Shop.open(
            Config(home=home), payers=DemoPayers(), own_switch=True, clock=self.clock
        )
        url = self.shop.config.database_url
        self.client = open_client(home, url, participant=WALLET_OPERATOR, clock=self.clock)
        self.cable = Cable(self.client)
        self.top_ups = TopUps(
            self.shop.engine,
            operator=lambda: self.cable,  # type: ignore[arg-type,return-value]
            payers=DemoPayers(),
            numbers=self.shop.payments.numbers,
            seal=self.shop.seal,
            clock=self.clock,
            timeout_s=2.0,
            retry_s=1.0,
        )

    def clock(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def balances(self) -> tuple[int, int]:
        read = self.shop.books.available
        return read(BANK, "CNY"), read(WALLET, "CNY")

    def make(self, amount: Money = TEN, pin: str = PIN) -> TopUp:
        return self.top_ups.top_up("wallet-balance", amount, pin)

    def later(self, seconds: float) -> int:
        self.ahead += timedelta(seconds=seconds)
        return self.top_ups.sweep()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    made.shop.clearing().echo()
    yield made
    made.client.close()
    made.shop.close()


def _state(scene: Scene) -> list[str]:
    return [one.state for one in scene.top_ups.recent("wallet-balance", 9)]


def test_approved_top_up_is_kept_and_has_moved_the_money(scene: Scene) -> None:
    bank, stored = scene.balances()
    assert scene.make().state is TopUpState.APPROVED
    assert scene.balances() == (bank - 10_00, stored + 10_00)
    assert _state(scene) == ["approved"]


def test_declined_top_up_says_why_and_moves_nothing(scene: Scene) -> None:
    before = scene.balances()
    wrong = scene.make(pin="000000")
    assert (wrong.state, wrong.response_code) == (TopUpState.DECLINED, "55")
    assert scene.make(replace(TEN, amount_minor=200_000_01)).response_code == "61"
    assert (scene.balances(), _state(scene)) == (before, [])


@pytest.mark.parametrize("lost", ["answer", "message"])
def test_what_is_not_answered_is_reversed_at_once(scene: Scene, lost: str) -> None:
    before = scene.balances()
    scene.cable.lose = [lost]
    assert scene.make().state is TopUpState.REVERSED
    scene.shop.clearing().operate("settle")
    assert scene.balances() == before


def test_reversal_is_repeated_until_it_is_answered(scene: Scene) -> None:
    before = scene.balances()
    scene.cable.lose = ["answer", "answer", "message", "unsent"]
    assert scene.make().state is TopUpState.UNKNOWN
    assert scene.later(0.5) == 0  # not yet due: it goes at its own pace
    assert len(scene.cable.lose) == 2
    assert [scene.later(61) for _ in range(4)] == [0, 0, 1, 0]  # no pause is longer than 60 s
    assert _state(scene) == ["reversed"]
    scene.shop.clearing().operate("settle")
    assert scene.balances() == before


def test_top_up_that_was_spent_meanwhile_stands(scene: Scene) -> None:
    _, stored = scene.balances()
    scene.cable.lose = ["answer", "message"]
    assert scene.make().state is TopUpState.UNKNOWN
    for amount in (stored - 100_00, 100_01):
        order = scene.shop.orders.create(amount_minor=amount)
        scene.shop.code_payments.pay(order.code, payer="wallet-balance", pin=PIN)
    assert scene.later(3.5) == 1
    assert _state(scene) == ["approved"]
    assert scene.balances()[1] == 10_00 - 1


def test_process_that_died_after_sending_leaves_nothing_behind(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = scene.balances()

    def dies(*_given: Any, **_named: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(TopUpRecords, "end", dies)
        scene.make()
    assert _state(scene) == ["pending"]
    assert scene.later(1) == 0
    assert scene.later(10) == 1
    scene.shop.clearing().operate("settle")
    assert (_state(scene), scene.balances()) == (["reversed"], before)


def test_nothing_is_asked_for_where_the_line_is_down_or_the_amount_is_absurd(scene: Scene) -> None:
    before = scene.balances()
    scene.cable.lose = ["unsent"]
    with pytest.raises(ShopError, match="clearing"):
        scene.make()
    for odd in (0, -1, 10**12):
        with pytest.raises(ShopError, match="amount"):
            scene.make(Money(amount_minor=odd, currency="CNY"))
    assert (scene.balances(), _state(scene)) == (before, [])
