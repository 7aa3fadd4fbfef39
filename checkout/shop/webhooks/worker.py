"""The delivery worker: fills the outbox, and sends to each endpoint in a thread of its own.

A slow or missing endpoint delays only its own deliveries: no database transaction is open while a
request is under way, and no sale waits for this worker.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from functools import partial
from typing import Protocol

from sqlalchemy import Engine

from checkout.config import SWITCH_PORT, Config
from checkout.database import DatabaseError, one_line, open_engine
from checkout.encryption import Seal
from checkout.errors import ShopError
from checkout.shop.orders.states import Clock
from checkout.shop.webhooks.deliveries import Deliveries
from checkout.shop.webhooks.endpoints import Endpoints
from checkout.shop.webhooks.http import TIMEOUT_S, Outcome, post
from checkout.shop.webhooks.outbox import Outbox
from checkout.shop.webhooks.signing import sign

_ROUND_S = 0.25
_AFTER_A_FAULT_S = 2.0

#: A try without a result for this long was lost with its process, and is made again.
_LOST_AFTER_S = TIMEOUT_S * 2

_STOP_WITHIN_S = 1.0
_log = logging.getLogger("checkout.webhooks")


class Send(Protocol):
    """Sends one request; never raises."""

    def __call__(self, url: str, headers: dict[str, str], body: bytes) -> Outcome:
        """One try."""


class DeliveryWorker:
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
        self._endpoints = Endpoints(engine, seal=seal, clock=clock)
        self._deliveries = Deliveries(engine, clock=clock)
        self._outbox = Outbox(engine, self._endpoints, clock=clock)
        self._clock = clock
        self._send = send
        self._chance = chance
        self._serving: dict[str, threading.Thread] = {}
        self._stop = threading.Event()

    def round(self) -> int:
        """Fill the outbox and try what is due, one after the other; returns how many tries."""
        self._outbox.fill()
        return sum(self._serve(endpoint_id) for endpoint_id in self._deliveries.due_endpoints())

    def run(self, stop: threading.Event) -> None:
        """Fill and try until `stop`, all endpoints at the same time."""
        pause_s = _ROUND_S
        while not stop.wait(pause_s):
            pause_s = _ROUND_S
            try:
                self._outbox.fill()
                self._start_serving()
            except Exception as error:  # whatever failed in one round, the next may succeed
                pause_s = _AFTER_A_FAULT_S
                _log.error("webhooks failed (%s); they are tried again", one_line(error))
                _log.debug("webhooks failed", exc_info=True)
        self._stop.set()
        for thread in list(self._serving.values()):
            thread.join(_STOP_WITHIN_S / max(1, len(self._serving)))

    def _start_serving(self) -> None:
        self._serving = {key: thread for key, thread in self._serving.items() if thread.is_alive()}
        for endpoint_id in self._deliveries.due_endpoints():
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
        claimed = self._deliveries.claim(endpoint_id, within_s=_LOST_AFTER_S)
        if claimed is None:
            return False
        at = self._clock()
        try:
            secrets = self._endpoints.secrets(endpoint_id)
        except ShopError as error:  # removed meanwhile, or the keys are another installation's
            outcome = Outcome(status=None, reason=str(error))
        else:
            headers = sign(claimed.body, event_id=claimed.event_id, at=at, secrets=secrets)
            outcome = self._send(claimed.url, headers, claimed.body)
        self._deliveries.record(claimed, outcome, at=at, chance=self._chance())
        return True


def run_delivery_worker(config: Config, seal: Seal, clock: Clock, stop: threading.Event) -> None:
    """Deliver webhooks until `stop`, with database connections of its own."""
    send = partial(post, own_ports=(config.port, SWITCH_PORT))
    while not stop.is_set():
        try:
            engine = open_engine(config.database_url, pool_size=2)
        except DatabaseError as error:
            _log.error("webhooks wait (%s)", error)
            stop.wait(_AFTER_A_FAULT_S)
            continue
        try:
            DeliveryWorker(engine, seal=seal, clock=clock, send=send).run(stop)
        finally:
            engine.dispose()
