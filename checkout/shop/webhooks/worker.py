"""Brings webhooks: fills the outbox, and serves each endpoint in a thread of its own.

An endpoint that is slow, or away, makes nobody wait but itself: no database transaction is open
while a request is under way, and no sale comes by here.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from typing import Protocol

from sqlalchemy import Engine

from checkout.config import Config
from checkout.database import DatabaseError, one_line, open_engine
from checkout.encryption import Seal
from checkout.errors import ShopError
from checkout.shop.orders.states import Clock
from checkout.shop.webhooks.endpoints import Webhooks
from checkout.shop.webhooks.http import TIMEOUT_S, Outcome, post
from checkout.shop.webhooks.outbox import Outbox
from checkout.shop.webhooks.signing import sign

_ROUND_S = 0.25
_AFTER_A_FAULT_S = 2.0

#: A try of which nothing is heard for this long was lost with its process, and is made again.
_LOST_AFTER_S = TIMEOUT_S * 2

_LEAVE_WITHIN_S = 1.0
_log = logging.getLogger("checkout.webhooks")


class Send(Protocol):
    """How a request is made; never raises."""

    def __call__(self, url: str, headers: dict[str, str], body: bytes) -> Outcome:
        """One try."""


class Courier:
    """Delivers what is due; one per database."""

    def __init__(
        self,
        engine: Engine,
        *,
        seal: Seal,
        clock: Clock,
        send: Send = post,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._desk = Webhooks(engine, seal=seal, clock=clock)
        self._outbox = Outbox(engine, self._desk.endpoints, clock=clock)
        self._clock = clock
        self._send = send
        self._chance = chance
        self._serving: dict[str, threading.Thread] = {}
        self._stop = threading.Event()

    def round(self) -> int:
        """Fill the outbox and try all that is due, one after the other; returns how many tries."""
        self._outbox.fill()
        return sum(
            self._serve(endpoint_id) for endpoint_id in self._desk.deliveries.due_endpoints()
        )

    def run(self, stop: threading.Event) -> None:
        """Do that until `stop`, each endpoint beside the others."""
        pause_s = _ROUND_S
        while not stop.wait(pause_s):
            pause_s = _ROUND_S
            try:
                self._outbox.fill()
                self._start_serving()
            except Exception as error:  # whatever one round met, the next may go well
                pause_s = _AFTER_A_FAULT_S
                _log.error("webhooks failed (%s); they are tried again", one_line(error))
                _log.debug("webhooks failed", exc_info=True)
        self._stop.set()
        for thread in list(self._serving.values()):
            thread.join(_LEAVE_WITHIN_S / max(1, len(self._serving)))

    def _start_serving(self) -> None:
        self._serving = {key: one for key, one in self._serving.items() if one.is_alive()}
        for endpoint_id in self._desk.deliveries.due_endpoints():
            if endpoint_id not in self._serving:
                thread = threading.Thread(
                    target=self._serve_safely,
                    args=(endpoint_id,),
                    name=f"webhooks {endpoint_id}",
                    daemon=True,  # a request under way keeps no process from ending
                )
                self._serving[endpoint_id] = thread
                thread.start()

    def _serve_safely(self, endpoint_id: str) -> None:
        try:
            self._serve(endpoint_id)
        except Exception as error:
            _log.error("webhooks to %s failed (%s)", endpoint_id, one_line(error))
            _log.debug("webhooks failed", exc_info=True)
            self._stop.wait(_AFTER_A_FAULT_S)

    def _serve(self, endpoint_id: str) -> int:
        """Try what is due for one endpoint until nothing is; returns how many tries."""
        tries = 0
        while not self._stop.is_set() and self._try_one(endpoint_id):
            tries += 1
        return tries

    def _try_one(self, endpoint_id: str) -> bool:
        deliveries = self._desk.deliveries
        held = deliveries.claim(endpoint_id, within_s=_LOST_AFTER_S)
        if held is None:
            return False
        at = self._clock()
        try:
            secrets = self._desk.endpoints.secrets(endpoint_id)
        except ShopError as error:  # removed meanwhile, or the keys are another installation's
            outcome = Outcome(status=None, reason=str(error))
        else:
            headers = sign(held.body, event_id=held.event_id, at=at, secrets=secrets)
            outcome = self._send(held.url, headers, held.body)
        deliveries.record(held, outcome, at=at, chance=self._chance())
        return True


def run_courier(config: Config, seal: Seal, clock: Clock, stop: threading.Event) -> None:
    """Bring webhooks until `stop`, with database connections that nobody else uses."""
    while not stop.is_set():
        try:
            engine = open_engine(config.database_url, pool_size=2)
        except DatabaseError as error:
            _log.error("webhooks wait (%s)", error)
            stop.wait(_AFTER_A_FAULT_S)
            continue
        try:
            Courier(engine, seal=seal, clock=clock).run(stop)
        finally:
            engine.dispose()
