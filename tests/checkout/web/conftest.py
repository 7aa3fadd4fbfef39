"""One shop with a real switch behind it, its pages as this machine and as a stranger see them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from jinja2 import Undefined
from sqlalchemy import delete

from checkout import create_app
from checkout.config import Config
from checkout.demo.payers import DemoPayers
from checkout.shop.orders.states import Order
from checkout.shop.shop import Shop
from checkout.web.access import credentials
from checkout.web.access.rate_limit import tries

STRANGER = {"REMOTE_ADDR": "192.0.2.77"}
LAN = "http://192.0.2.10:8000"


@dataclass
class Clock:
    """The true time, moved on at will."""

    ahead: timedelta = field(default_factory=timedelta)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def advance(self, seconds: float) -> None:
        self.ahead += timedelta(seconds=seconds)


class NeverShown(Undefined):
    """A name that a template has and the view has not: it may be tested, but not shown."""

    def __str__(self) -> str:
        return str(self._fail_with_undefined_error())

    def __iter__(self) -> Iterator[Any]:
        return iter(self._fail_with_undefined_error())


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, clock: Clock) -> Iterator[Shop]:
    home = tmp_path_factory.mktemp("web-home")
    opened = Shop.open(
        Config(home=home, heartbeat_s=0.3), payers=DemoPayers(), own_switch=True, clock=clock
    )
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def password(shop: Shop) -> str:
    fresh = credentials.ensure(shop.config.home).fresh_password
    assert fresh is not None
    return fresh


@pytest.fixture(scope="module")
def merchant_key(shop: Shop, password: str) -> str:
    return Path(shop.config.home / "keys" / "merchant-key").read_text("ascii").strip()


@pytest.fixture
def app(shop: Shop, password: str) -> Flask:
    app = create_app(shop=shop)
    app.jinja_env.undefined = NeverShown
    with shop.engine.begin() as connection:  # no test waits for the failures of another
        connection.execute(delete(tries))
    return app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A browser on this machine."""
    return app.test_client()


@pytest.fixture
def stranger(app: Flask) -> FlaskClient:
    """A phone on the LAN."""
    phone = app.test_client()
    phone.environ_base.update(STRANGER)
    return phone


@pytest.fixture
def order(shop: Shop) -> Order:
    return shop.orders.create(amount_minor=1280, currency="CNY")


@pytest.fixture
def pay(stranger: FlaskClient) -> Callable[..., object]:
    """Fill in the payer's form at a code and send it, as a browser does."""

    def fill(code: str, *, payer: str = "unionpay-debit", pin: str = "123456", **more: str):
        page = stranger.get(f"/p/{code}", base_url=LAN)
        fields = dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', page.text))
        return stranger.post(
            f"/p/{code}", base_url=LAN, data={**fields, "payer": payer, "pin": pin, **more}
        )

    return fill
