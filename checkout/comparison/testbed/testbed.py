"""The testbed: a shop, a switch and a reader in a scratch home, to run sales against.

All of it is the real software: orders and payments, the switch behind its socket, the emulated
PN532 under nfcpy's driver, the emulated cards with their keys. Only the client can lose messages,
and the clock is set ahead between sales.
"""

from __future__ import annotations

import base64
import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, cast

from checkout.acceptance.nfc import terminal as tap
from checkout.clearing.client.client import Exchange, NoAnswer, SwitchClient
from checkout.clearing.client.open_client import open_client
from checkout.clearing.issuing.accounts import DemoWorld, demo_accounts
from checkout.clearing.issuing.world import World
from checkout.clearing.messages import AuthorizationRequest
from checkout.clearing.switch.server import SwitchServer
from checkout.comparison.simulation.scenarios import Scenario
from checkout.config import Config, Merchant
from checkout.database import open_engine
from checkout.demo.emulated_reader import EmulatedReader
from checkout.demo.payers import DemoPayers, prepare_home
from checkout.demo.provisioning import shared_service
from checkout.encryption import secret_file
from checkout.money import numeric_code
from checkout.shop.shop import Shop, prepare_tables

#: Clock time between two sales: each payer comes a few times a day, as daily limits expect.
BETWEEN_SALES_S = 7_200.0

#: Every account has this much more than in the demo, so that long runs do not empty it.
_FILL_MINOR = 200_000_00


#: Serves a shop's pages to phones and yields their origin. The command hands it in, since the
#: comparison stands below the pages.
ServePages = Callable[[Shop], AbstractContextManager[str]]


class RunningClock:
    """Real time that starts at a given moment and can be advanced; it stands still if `frozen`."""

    def __init__(self, start: datetime, *, frozen: bool = False) -> None:
        self._start = start
        self._origin = time.monotonic()
        self._frozen = frozen
        self._ahead_s = 0.0

    def __call__(self) -> datetime:
        """The time now, in UTC."""
        passed_s = 0.0 if self._frozen else time.monotonic() - self._origin
        return self._start + timedelta(seconds=passed_s + self._ahead_s)

    def set_to(self, sale: int) -> None:
        """Set the time of a sale by its number, however long the sales before it took."""
        self._ahead_s = sale * BETWEEN_SALES_S

    @contextmanager
    def real_time(self) -> Iterator[None]:
        """Show real time for a while, as the clocks of other processes do."""
        ahead_s, self._ahead_s = self._ahead_s, 0.0
        try:
            yield
        finally:
            # Not to an earlier time than before: the newest payment must stay the newest.
            self._ahead_s += ahead_s

    def advance(self, seconds: float) -> None:
        """Set the time ahead."""
        self._ahead_s += seconds


def noon_of(day: date) -> datetime:
    """Noon in Shanghai, well before the cut-off."""
    return datetime(day.year, day.month, day.day, 4, tzinfo=UTC)


Loss = Literal["request", "response"]


class LossyClient:
    """A switch client that loses the next request or response if `lose` says so."""

    def __init__(self, inner: SwitchClient) -> None:
        self._inner = inner
        self.lose: Loss | None = None
        self.exchanges = 0

    def authorize(self, request: AuthorizationRequest, *, timeout_s: float = 10.0) -> Exchange:
        """As the client does; NoAnswer at once where the message is to be lost."""
        lost, self.lose = self.lose, None
        if lost == "request":
            raise NoAnswer("the question was lost on its way")
        exchange = self._inner.authorize(request, timeout_s=timeout_s)
        self.exchanges += 1
        if lost == "response":
            raise NoAnswer("the answer was lost on its way")
        return exchange

    def reverse(
        self, request: AuthorizationRequest, *, reason: str = "time-out", timeout_s: float = 10.0
    ) -> Exchange:
        """As the client does."""
        exchange = self._inner.reverse(request, reason=reason, timeout_s=timeout_s)
        self.exchanges += 1
        return exchange

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


@dataclass(slots=True, kw_only=True)
class Testbed:
    """Everything that sales are run against."""

    config: Config
    clock: RunningClock
    shop: Shop
    client: Any  # a SwitchClient or a LossyClient
    terminal: tap.Terminal
    reader: EmulatedReader
    origin: str
    database_url: str


@contextmanager
def open_testbed(
    home: Path,
    database: str,
    scenario: Scenario,
    serve_pages: ServePages,
    *,
    seed: int | None = None,
) -> Iterator[Testbed]:
    """Set everything up in `home`, on a fresh database of that name, and take it down again.

    With a `seed` the shop's key is drawn from it, and so are the codes that payers show.
    """
    config = Config(home=home, database=str(home / database), merchant=_merchant(scenario))
    # Frozen within a sale, so that no page or message depends on the speed of this machine.
    clock = RunningClock(noon_of(scenario.date), frozen=True)
    with ExitStack() as stack:
        _prepare(home, seed)
        stack.enter_context(_switch(home, config.database_url, clock))
        engine = open_engine(config.database_url)
        stack.callback(engine.dispose)
        prepare_tables(engine, clock())
        client = LossyClient(open_client(home, config.database_url, start=False, clock=clock))
        stack.callback(client.close)
        shop = Shop(
            config,
            engine,
            clearing=lambda: cast(SwitchClient, client),
            clock=clock,
            payers=DemoPayers(),
        )
        stack.callback(shop.close)
        reader = EmulatedReader(home, shared_service(lambda: cast(SwitchClient, client)))
        stack.callback(reader.close)
        yield Testbed(
            config=config,
            clock=clock,
            shop=shop,
            client=client,
            terminal=tap.load(home, clock=clock, terminal="abroad" if scenario.abroad else "china"),
            reader=reader,
            origin=stack.enter_context(serve_pages(shop)),
            database_url=config.database_url,
        )


def _merchant(scenario: Scenario) -> Merchant:
    merchant = replace(Merchant(), mcc=scenario.mcc)
    if not scenario.abroad:
        return merchant
    return replace(
        merchant,
        country=numeric_code(scenario.currency),
        country_alpha=scenario.currency[:2],
        city="ABROAD",
    )


def _prepare(home: Path, seed: int | None) -> None:
    """Create the home; with a seed, the shop's key is drawn from it."""
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    if seed is not None:
        # The size of a code's picture depends on its digits, and so on this key.
        drawn = hashlib.sha256(f"stand {seed}".encode()).digest()
        secret_file(home / "keys" / "shop.key", base64.urlsafe_b64encode(drawn))
    prepare_home(home)


@contextmanager
def _switch(home: Path, database_url: str, clock: Callable[[], datetime]) -> Iterator[None]:
    server = SwitchServer.open(
        home, database_url, clock=clock, world=World(accounts=well_filled(demo_accounts()))
    )
    stop = threading.Event()
    thread = threading.Thread(target=server.run, args=(stop,), name="switch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        server.wake()
        thread.join(5)


def well_filled(world: DemoWorld) -> DemoWorld:
    """The demo's accounts with more money; the empty one and the one with a capped balance stay."""
    filled = {
        number: account
        if account.payer in ("empty", "unionpay-class3")
        else replace(
            account,
            balance_minor=account.balance_minor + _FILL_MINOR,
            credit_line_minor=account.credit_line_minor and account.credit_line_minor + _FILL_MINOR,
        )
        for number, account in world.accounts.items()
    }
    return replace(world, accounts=filled)
