"""The replayed webhook: what told the merchant of one sale is sent to him again.

The delivery is the shop's own, of a real sale, over HTTP. The attacker is a hop on its way who
reads along, as on plain http. The merchant's receiver releases goods for each paid order it
believes, so every release beyond the first is what the attack brought.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from checkout.comparison.report.formatting import money
from checkout.comparison.results import Cell
from checkout.comparison.trials.rig import Scene
from checkout.shop.webhooks.receiver import Receiver, served
from checkout.shop.webhooks.signing import TIMESTAMP, TOLERANCE_S, TakenIds
from checkout.shop.webhooks.worker import Courier
from devices.phone import Answer, HttpNetwork

_NOT_PASSED_ON = frozenset({"host", "content-length", "connection", "accept-encoding"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Recorded:
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True, kw_only=True)
class _Merchant:
    """Releases goods; its clock can be ahead, so that a recording grows old at once."""

    now: Callable[[], datetime]
    taken: TakenIds = field(default_factory=TakenIds)
    released: list[str] = field(default_factory=list)
    ahead: timedelta = timedelta()

    def clock(self) -> datetime:
        return self.now() + self.ahead

    def act(self, event: dict[str, Any]) -> None:
        if event["type"] == "order.paid":
            self.released.append(event["data"]["order"]["reference"])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Try:
    """One attempt of the attacker and what the receiver answered to it."""

    name: str
    said: dict[str, str]
    brought_goods: bool


def replayed_webhook(scene: Scene) -> Cell:
    """A recorded delivery is sent again, as it was and changed, now and later."""
    shop = scene.rig.shop
    merchant = _Merchant(now=shop.orders.clock)
    recorded: list[_Recorded] = []
    with ExitStack() as stack:
        # The receiver's URL is behind the hop that the shop is told of: the secret comes last.
        receivers: list[Receiver] = []
        target = stack.enter_context(
            served(lambda headers, body: receivers[0].receive(headers, body))
        )
        endpoint, secret = shop.webhooks.endpoints.add(
            stack.enter_context(_hop(target, recorded)), ["order.paid"]
        )
        stack.callback(shop.webhooks.endpoints.remove, endpoint.id)
        receivers.append(
            Receiver(secret, act=merchant.act, taken=merchant.taken, clock=merchant.clock)
        )
        scene.pay()
        Courier(shop.engine, seal=shop.seal, clock=shop.orders.clock).round()
        (delivery,) = shop.webhooks.deliveries.of_endpoint(endpoint.id)
        scene.shop_saw.append(f"{delivery.type} {delivery.state}: {delivery.attempts[-1].reason}")
        tries = _attempts(scene, merchant, target, recorded[0])
    return _cell(scene, merchant, tries)


def _attempts(
    scene: Scene, merchant: _Merchant, target: str, recorded: _Recorded
) -> tuple[_Try, ...]:
    """What the attacker does, in order: first what is quick, then what takes patience."""
    wanted = scene.rig.order()  # the attacker's own, which nobody pays
    order = scene.rig.shop.orders.get(scene.order.id)
    changed = recorded.body
    for theirs, ours in ((order.id, wanted.id), (order.reference, wanted.reference)):
        changed = changed.replace(theirs.encode(), ours.encode())

    def send(name: str, body: bytes = recorded.body, stamp: str | None = None) -> _Try:
        before = len(merchant.released)
        headers = recorded.headers | ({} if stamp is None else {TIMESTAMP: stamp})
        answer = HttpNetwork().request("POST", target, headers, body)
        return _Try(
            name=name,
            said=json.loads(answer.body),
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


def _cell(scene: Scene, merchant: _Merchant, tries: tuple[_Try, ...]) -> Cell:
    """By whom and at which check each try was stopped, as the receiver answered."""
    through = [one.name for one in tries if one.brought_goods]
    stopped: dict[str, list[str]] = {}
    for one in tries:
        if not one.brought_goods:
            stopped.setdefault(one.said["check"] or "nothing", []).append(one.name)
    count = len(merchant.released)
    scene.shop_saw.append(
        f"{len(tries)} tries, goods released {'once' if count == 1 else f'{count} times'}"
    )
    cell = scene.conclude("works" if through else "declined")
    value = money(scene.order.amount_minor, scene.order.currency)
    return replace(
        cell,
        stopped_by=f"nobody: {', '.join(through)}" if through else "the merchant's receiver",
        step="; ".join(f"{check}: {', '.join(names)}" for check, names in stopped.items()),
        loss=f"goods of {value} each time" if through else "nothing",
    )


@contextmanager
def _hop(target: str, recorded: list[_Recorded]) -> Iterator[str]:
    """A hop on the way to `target` that passes everything on and keeps it; yields its URL."""

    class _Hop(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            kept = {
                name: text
                for name, text in self.headers.items()
                if name.lower() not in _NOT_PASSED_ON
            }
            recorded.append(_Recorded(headers=kept, body=body))
            answer: Answer = HttpNetwork().request("POST", target, kept, body)
            self.send_response(answer.status)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, format: str, *args: Any) -> None:
            """An attacker is quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hop)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
