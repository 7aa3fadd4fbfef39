"""What pages, API and commands ask of webhooks: the endpoints, and what was sent to them."""

from __future__ import annotations

from sqlalchemy import Engine

from checkout.orders import Clock
from checkout.sealing import Seal
from checkout.webhooks.deliveries import Deliveries
from checkout.webhooks.endpoints import Endpoints


class Webhooks:
    """One per shop; safe to call from any thread."""

    def __init__(self, engine: Engine, *, seal: Seal, clock: Clock) -> None:
        self.endpoints = Endpoints(engine, seal=seal, clock=clock)
        self.deliveries = Deliveries(engine, clock=clock)
