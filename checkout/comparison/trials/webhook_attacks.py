"""The replayed webhook: the delivery of one sale is sent to the merchant again.

The delivery is the shop's own, of a real sale, over HTTP. The attacker is a hop on its way that
reads along, as on plain http. The merchant's receiver releases goods for each paid order that it
accepts, so every release beyond the first is what the attack brought.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from checkout.comparison.report.formatting import money
from checkout.comparison.results import Cell
from checkout.comparison.trials.lab import TrialRun
from checkout.shop.webhooks.receiver import Received, Receiver, served
from checkout.shop.webhooks.signing import TIMESTAMP, TOLERANCE_S, TakenIds
from checkout.shop.webhooks.worker import DeliveryWorker
from devices.phone import Answer, HttpNetwork

_NOT_PASSED_ON = frozenset({"host", "content-length", "connection", "accept-encoding"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Recorded:
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True, kw_only=True)
class _Merchant:
    """Releases goods; its clock can be set ahead, so that a recording becomes old at once."""

    now: Callable[[], datetime]
    taken: TakenIds = field(default_factory=TakenIds)
    released: list[str] = field(default_factory=list)
    ahead: timedelta = timedelta()
    receiver: Receiver | None = None

    def receive(self, headers: Mapping[str, str], body: bytes) -> Received:
        """The shop delivers only after `receiver` has the endpoint's secret."""
        assert self.receiver is not None
        return self.receiver.receive(headers, body)

    def clock(self) -> datetime:
        return self.now() + self.ahead

    def act(self, event: dict[str, Any]) -> None:
        if event["type"] == "order.paid":
            self.released.append(event["data"]["order"]["reference"])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Try:
    """One attempt of the attacker and what the receiver answered to it."""

    name: str
    answers: dict[str, str]
    brought_goods: bool


def replayed_webhook(run: TrialRun) -> Cell:
    """A recorded delivery is sent again, as it was and changed, now and later."""
    shop = run.lab.shop
    merchant = _Merchant(now=shop.orders.clock)
    recorded: list[_Recorded] = []
    with ExitStack() as stack:
        # The shop's endpoint is the hop, which needs the merchant's URL; the merchant's receiver
        # needs the endpoint's secret, so it is built last.
        target = stack.enter_context(served(merchant.receive))
        endpoint, secret = shop.webhooks.endpoints.add(
            stack.enter_context(_hop(target, recorded)), ["order.paid"]
        )
        stack.callback(shop.webhooks.endpoints.remove, endpoint.id)
        merchant.receiver = Receiver(
            secret, act=merchant.act, taken=merchant.taken, clock=merchant.clock
        )
        run.pay()
        DeliveryWorker(shop.engine, seal=shop.seal, clock=shop.orders.clock).round()
        (delivery,) = shop.webhooks.deliveries.of_endpoint(endpoint.id)
        run.shop_saw.append(f"{delivery.type} {delivery.state}: {delivery.attempts[-1].reason}")
        tries = _attempts(run, merchant, target, recorded[0])
    return _cell(run, merchant, tries)


def _attempts(
    run: TrialRun, merchant: _Merchant, target: str, recorded: _Recorded
) -> tuple[_Try, ...]:
    """What the attacker sends, in order: first at once, then after some time."""
    wanted = run.lab.order()  # the attacker's own, which nobody pays
    order = run.lab.shop.orders.get(run.order.id)
    changed = recorded.body
    for theirs, ours in ((order.id, wanted.id), (order.reference, wanted.reference)):
        changed = changed.replace(theirs.encode(), ours.encode())

    def send(name: str, body: bytes = recorded.body, stamp: str | None = None) -> _Try:
        before = len(merchant.released)
        headers = recorded.headers | ({} if stamp is None else {TIMESTAMP: stamp})
        answer = HttpNetwork().request("POST", target, headers, body)
        return _Try(
            name=name,
            answers=json.loads(answer.body),
            brought_goods=len(merchant.released) > before,
        )

    tries = [send("again at once"), send("with another order's reference", changed)]
    for after_s, name in (
        (TOLERANCE_S + 1, f"again after {TOLERANCE_S + 1} s"),
        (merchant.taken.keep_s + 1, f"again after {merchant.taken.keep_s / 86400:.0f} days"),
    ):
        merchant.ahead = timedelta(seconds=after_s)
        tries.append(send(name))
    stamp = str(int(merchant.clock().timestamp()))
    tries.append(send("with a fresh timestamp", stamp=stamp))
    return tuple(tries)


def _cell(run: TrialRun, merchant: _Merchant, tries: tuple[_Try, ...]) -> Cell:
    """The cell: at which check the receiver stopped each attempt, as it answered."""
    through = [each.name for each in tries if each.brought_goods]
    stopped: dict[str, list[str]] = {}
    for each in tries:
        if not each.brought_goods:
            stopped.setdefault(each.answers["check"] or "nothing", []).append(each.name)
    count = len(merchant.released)
    run.shop_saw.append(
        f"{len(tries)} tries, goods released {'once' if count == 1 else f'{count} times'}"
    )
    cell = run.conclude("works" if through else "declined")
    value = money(run.order.amount_minor, run.order.currency)
    return replace(
        cell,
        stopped_by=f"nobody: {', '.join(through)}" if through else "the merchant's receiver",
        step="; ".join(f"{check}: {', '.join(names)}" for check, names in stopped.items()),
        loss=f"goods of {value} each time" if through else "nothing",
    )


@contextmanager
def _hop(target: str, recorded: list[_Recorded]) -> Iterator[str]:
    """A hop on the way to `target` that passes on and records every request; yields its URL."""

    class _Hop(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {
                name: text
                for name, text in self.headers.items()
                if name.lower() not in _NOT_PASSED_ON
            }
            recorded.append(_Recorded(headers=headers, body=body))
            answer: Answer = HttpNetwork().request("POST", target, headers, body)
            self.send_response(answer.status)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, format: str, *args: Any) -> None:
            """Write no log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hop)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
