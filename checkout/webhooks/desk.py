"""What pages, API and commands ask of webhooks: the endpoints, and what was sent to them."""

from __future__ import annotations

from sqlalchemy import Engine

from checkout.shop.orders.orders import Clock
from checkout.encryption import Seal
from checkout.shop.webhooks.deliveries import Deliveries
from checkout.shop.webhooks.endpoints import Endpoints


class Webhooks:
    """One per shop; safe to call from any thread."""

    def __init__(self, engine: Engine, *, seal: Seal, clock: Clock) -> None:
        self.endpoints = Endpoints(engine, seal=seal, clock=clock)
        self.deliveries = Deliveries(engine, clock=clock)
