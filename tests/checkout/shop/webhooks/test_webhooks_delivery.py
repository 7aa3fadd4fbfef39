"""Events reach merchants' servers, signed, at least once, on the stated schedule."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import event

from checkout.database import open_engine
from checkout.demo.payers import DemoPayers
from checkout.errors import ShopError
from checkout.shop import tables
from checkout.shop.orders.states import Order
from checkout.shop.shop import Shop
from checkout.shop.webhooks.deliveries import SCHEDULE_S, verdict
from checkout.shop.webhooks.http import TIMEOUT_S, Outcome, post
from checkout.shop.webhooks.worker import DeliveryWorker
from tests.checkout.shop.webhooks.conftest import (
    Merchant,
    SetClock,
    open_merchant,
    sale_in,
    worker_of,
)

Sell = Callable[..., Order]


class Died(BaseException):
    """What kill -9 is to a process: nothing catches it."""


def attempts(shop: Shop, endpoint_id: str) -> list[tuple[int | None, str]]:
    (delivery,) = shop.webhooks.deliveries.of_endpoint(endpoint_id)
    return [(each.status, each.reason) for each in delivery.attempts]


def test_a_paid_order_is_told_once_signed_and_as_the_api_shows_it(
    shop: Shop, worker: DeliveryWorker, merchant: Merchant, sell: Sell
) -> None:
    endpoint, secret = shop.webhooks.endpoints.add(merchant.url)
    order = sell()
    assert worker.round() == 1
    assert worker.round() == 0
    (told,) = merchant.events
    assert (told["type"], told["data"]["order"]["id"]) == ("order.paid", order.id)
    assert told["data"]["order"]["state"] == "paid"
    (payment,) = shop.payments.of_order(order.id)
    assert told["data"]["payment"]["id"] == payment.id
    assert told["data"]["payment"]["approval_code"] == payment.approval_code
    assert told["data"]["payment"]["pan"] == "999901******0019"
    assert merchant.verified(secret, shop.orders.clock()) == merchant.ids
    (delivery,) = shop.webhooks.deliveries.of_endpoint(endpoint.id)
    assert (delivery.state, delivery.next_at) == ("delivered", None)
    assert delivery.event_id == merchant.ids[0]


def test_whatever_happens_to_an_order_is_told_by_its_name(
    shop: Shop, worker: DeliveryWorker, merchant: Merchant, sell: Sell, clock: SetClock
) -> None:
    shop.webhooks.endpoints.add(merchant.url)
    paid = sell()
    shop.refunds.refund(paid.id, 300)
    held = sell(preauthorise=True)
    shop.refunds.capture(held.id, 1000)
    sell(pin="000000")
    shop.orders.cancel(shop.orders.create(amount_minor=100).id)
    shop.orders.create(amount_minor=100)
    clock.pass_s(901)
    shop.sweep()
    worker.round()
    assert merchant.types == [
        "order.paid",
        "order.refunded",
        "order.preauthorised",
        "order.captured",
        "payment.declined",
        "order.cancelled",
        "order.expired",
        "order.expired",
    ]
    kinds = [
        told["data"]["payment"] and told["data"]["payment"]["kind"] for told in merchant.events
    ]
    assert kinds[:5] == ["sale", "refund", "sale", "capture", "sale"]
    assert len(set(merchant.ids)) == len(merchant.ids)


def test_a_dispute_is_told_when_the_money_goes_and_when_it_is_back(
    shop: Shop, worker: DeliveryWorker, merchant: Merchant, sell: Sell
) -> None:
    shop.webhooks.endpoints.add(merchant.url)
    (sale,) = shop.payments.of_order(sell().id)
    for step in ("charge-back", "represent"):
        reason = {"reason": "fraud"} if step == "charge-back" else {}
        shop.clearing().operate(step, {"rrn": sale.rrn, **reason})
        shop.disputes.sweep()
        worker.round()
    assert merchant.types == ["order.paid", "order.disputed", "order.dispute_won"]
    assert [told["data"]["order"]["state"] for told in merchant.events[1:]] == ["disputed", "paid"]


def test_an_endpoint_gets_what_it_wants_and_what_comes_after_it(
    shop: Shop, worker: DeliveryWorker, merchant: Merchant, sell: Sell
) -> None:
    sell()
    shop.webhooks.endpoints.add(merchant.url, ["order.refunded"])
    refunded = sell()
    shop.refunds.refund(refunded.id)
    worker.round()
    assert merchant.types == ["order.refunded"]


def test_a_later_endpoint_does_not_get_what_an_earlier_one_still_waits_for(
    shop: Shop, worker: DeliveryWorker, merchant: Merchant, sell: Sell
) -> None:
    with open_merchant() as later:
        shop.webhooks.endpoints.add(merchant.url)
        sell()
        shop.webhooks.endpoints.add(later.url)
        sell()
        worker.round()
        assert (len(merchant.requests), len(later.requests)) == (2, 1)
        assert later.ids[0] == merchant.ids[1]


def test_a_receiver_that_fails_twice_gets_the_same_event_signed_anew(
    shop: Shop, worker: DeliveryWorker, merchant: Merchant, sell: Sell, clock: SetClock
) -> None:
    endpoint, secret = shop.webhooks.endpoints.add(merchant.url)
    merchant.answers = [500, 503]
    merchant.body = b"try later\n\x00" + b"x" * 2000
    sell()
    assert worker.round() == 1
    for pause_s in (5, 30):
        clock.pass_s(pause_s - 2)
        assert worker.round() == 0
        clock.pass_s(2)
        assert worker.round() == 1
    assert attempts(shop, endpoint.id) == [
        (500, "HTTP 500 Internal Server Error"),
        (503, "HTTP 503 Service Unavailable"),
        (200, "HTTP 200 OK"),
    ]
    (delivery,) = shop.webhooks.deliveries.of_endpoint(endpoint.id)
    assert delivery.attempts[0].answer.startswith("try later xxx")
    assert max(len(each.answer) for each in delivery.attempts) <= 300
    assert len(set(merchant.ids)) == 1
    stamps = [int(headers["webhook-timestamp"]) for headers, _ in merchant.requests]
    assert stamps[0] < stamps[1] < stamps[2]
    assert len({body for _, body in merchant.requests}) == 1
    assert len(merchant.verified(secret, clock())) == 3


def test_it_is_given_up_after_a_day_and_can_be_sent_again(
    shop: Shop, worker: DeliveryWorker, merchant: Merchant, sell: Sell, clock: SetClock
) -> None:
    endpoint, _ = shop.webhooks.endpoints.add(merchant.url)
    merchant.answers = [500] * 9
    sell()
    began = clock()
    for pause_s in (0, *SCHEDULE_S):
        clock.pass_s(pause_s)
        assert worker.round() == 1
    (delivery,) = shop.webhooks.deliveries.of_endpoint(endpoint.id)
    assert (delivery.state, len(delivery.attempts)) == ("given-up", 9)
    assert timedelta(hours=24) < clock() - began < timedelta(hours=26)
    clock.pass_s(7 * 86400)
    assert worker.round() == 0
    again = shop.webhooks.deliveries.send_again(delivery.id)
    assert again.state == "pending"
    assert worker.round() == 1
    assert shop.webhooks.deliveries.get(delivery.id).state == "delivered"
    assert len(set(merchant.ids)) == 1


def test_pauses_grow_longer_by_a_fifth_at_most_and_heed_retry_after() -> None:
    failed = Outcome(status=500, reason="")
    for tries, pause_s in enumerate(SCHEDULE_S):
        assert verdict(failed, tries, 0.0) == ("pending", pause_s)
        assert verdict(failed, tries, 1.0) == ("pending", pytest.approx(pause_s * 1.2))
    assert verdict(failed, len(SCHEDULE_S), 0.0) == ("given-up", None)
    busy = Outcome(status=503, reason="", retry_after_s=90.0)
    assert verdict(busy, 0, 0.0) == ("pending", 90.0)
    assert verdict(busy, 3, 0.0) == ("pending", 600)
    assert verdict(Outcome(status=503, reason="", retry_after_s=1e9), 0, 0.0)[1] == 86400


def test_a_receiver_that_is_gone_is_disabled(
    shop: Shop, worker: DeliveryWorker, merchant: Merchant, sell: Sell
) -> None:
    endpoint, _ = shop.webhooks.endpoints.add(merchant.url)
    merchant.answers = [410]
    sell()
    sell()
    assert worker.round() == 1
    now = shop.webhooks.endpoints.get(endpoint.id)
    assert now.disabled_at is not None
    assert now.disabled_why == "it said HTTP 410 Gone"
    deliveries = shop.webhooks.deliveries.of_endpoint(endpoint.id)
    assert {each.state for each in deliveries} == {"stopped"}
    sell()
    assert worker.round() == 0
    with pytest.raises(ShopError) as caught:
        shop.webhooks.deliveries.send_again(deliveries[0].id)
    assert caught.value.kind == "endpoint-disabled"


def test_redirects_are_not_followed(
    shop: Shop, worker: DeliveryWorker, merchant: Merchant, sell: Sell
) -> None:
    with open_merchant() as elsewhere:
        endpoint, _ = shop.webhooks.endpoints.add(merchant.url)
        merchant.answers = [307]
        merchant.headers = {"Location": elsewhere.url}
        sell()
        worker.round()
        assert elsewhere.requests == []
    assert attempts(shop, endpoint.id) == [(307, "HTTP 307: redirects are not followed")]


def test_both_secrets_sign_for_a_day_after_a_change(
    shop: Shop, worker: DeliveryWorker, merchant: Merchant, sell: Sell, clock: SetClock
) -> None:
    endpoint, old = shop.webhooks.endpoints.add(merchant.url)
    changed, new = shop.webhooks.endpoints.new_secret(endpoint.id)
    assert changed.old_secret_until is not None
    sell()
    worker.round()
    for secret in (old, new):
        assert len(merchant.verified(secret, clock())) == 1
    clock.pass_s(24 * 3600 + 1)
    merchant.requests.clear()
    sell()
    worker.round()
    assert len(merchant.verified(new, clock())) == 1
    assert merchant.requests[0][0]["webhook-signature"].count("v1,") == 1


def test_secrets_lie_in_the_database_sealed(shop: Shop, merchant: Merchant) -> None:
    endpoint, secret = shop.webhooks.endpoints.add(merchant.url)
    shop.webhooks.endpoints.new_secret(endpoint.id)
    kept = b"".join(path.read_bytes() for path in shop.config.home.glob("checkout.db*"))
    assert endpoint.url.encode() in kept
    assert secret.encode() not in kept
    assert secret.removeprefix("whsec_").encode() not in kept


@pytest.mark.parametrize("what", ["sold", "delivered"])
def test_a_process_that_dies_at_any_commit_loses_no_event(
    shop: Shop, merchant: Merchant, clock: SetClock, what: str
) -> None:
    """The whole way is walked again and again, each time dying one commit later."""
    shop.webhooks.endpoints.add(merchant.url, ["order.paid"])
    for commits in range(40):
        merchant.requests.clear()
        merchant.answers = [500]
        doomed = Shop.open(shop.config, payers=DemoPayers(), clock=clock)
        worker = worker_of(doomed)
        order = None if what == "sold" else sale_in(doomed)
        die_after(doomed, commits)
        died = False
        try:
            order = order or sale_in(doomed)
            for _ in range(3):
                worker.round()
                clock.pass_s(6)
        except Died:
            died = True
        doomed.close()
        alive = worker_of(shop)
        for _ in range(4):
            clock.pass_s(61)
            shop.sweep()
            alive.round()
        paid = [each for each in shop.orders.recent(1) if each.state == "paid"]
        told = {each["data"]["order"]["id"] for each in merchant.events}
        assert told == {each.id for each in paid}
        assert len(set(merchant.ids)) == len(paid)
        if not died:
            break
    assert not died
    assert commits > 3


def die_after(shop: Shop, commits: int) -> None:
    left = [commits]

    @event.listens_for(shop.engine, "commit")
    def _commit(_connection: object) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Died


def test_a_slow_endpoint_holds_up_neither_another_nor_a_sale(
    shop: Shop, merchant: Merchant, sell: Sell
) -> None:
    stop = threading.Event()
    with open_merchant() as slow:
        slow.hold = threading.Event()
        shop.webhooks.endpoints.add(slow.url)
        shop.webhooks.endpoints.add(merchant.url)
        engine = open_engine(shop.config.database_url, pool_size=2)
        worker = DeliveryWorker(engine, seal=shop.seal, clock=shop.orders.clock)
        thread = threading.Thread(target=worker.run, args=(stop,))
        thread.start()
        try:
            sold = []
            for _ in range(3):
                began = time.monotonic()
                sold.append(sell().id)
                assert time.monotonic() - began < TIMEOUT_S  # what one slow request takes
            until = time.monotonic() + 2 * TIMEOUT_S
            while len(merchant.requests) < 3 and time.monotonic() < until:
                time.sleep(0.02)
            assert sorted(each["data"]["order"]["id"] for each in merchant.events) == sorted(sold)
            assert slow.requests
        finally:
            stop.set()
            began = time.monotonic()
            thread.join(5)
            left_s = time.monotonic() - began
            slow.hold.set()
            engine.dispose()
    assert not thread.is_alive()
    assert left_s < TIMEOUT_S / 2


def test_what_is_committed_late_under_a_lower_number_is_found(
    shop: Shop, worker: DeliveryWorker, merchant: Merchant, sell: Sell
) -> None:
    """As PostgreSQL does, which numbers rows before they commit."""
    shop.webhooks.endpoints.add(merchant.url)
    orders = [sell(), sell()]
    of_first = tables.events.c.order_id == orders[0].id
    with shop.engine.begin() as connection:
        taken = connection.execute(tables.events.select().where(of_first)).mappings().all()
        connection.execute(tables.events.delete().where(of_first))
    worker.round()
    with shop.engine.begin() as connection:
        connection.execute(tables.events.insert(), [dict(row) for row in taken])
    worker.round()
    assert [each["data"]["order"]["id"] for each in merchant.events] == [
        orders[1].id,
        orders[0].id,
    ]


def test_events_that_nobody_wants_do_not_hide_those_that_somebody_does(
    shop: Shop, worker: DeliveryWorker, merchant: Merchant, sell: Sell, clock: SetClock
) -> None:
    shop.webhooks.endpoints.add(merchant.url, ["order.paid"])
    for _ in range(600):
        shop.orders.cancel(shop.orders.create(amount_minor=100).id)
    sell()
    worker.round()
    assert merchant.types == ["order.paid"]
    clock.pass_s(120)
    worker.round()  # and passes over the old ones for good
    with shop.engine.connect() as connection:
        mark = connection.execute(
            tables.numbers.select().where(tables.numbers.c.name == "webhooks")
        ).one()
    assert mark.value >= 1200
    sell()
    worker.round()
    assert merchant.types == ["order.paid", "order.paid"]


def test_what_is_removed_while_it_is_tried_stays_removed(
    shop: Shop, merchant: Merchant, sell: Sell
) -> None:
    endpoint, _ = shop.webhooks.endpoints.add(merchant.url)

    def send(url: str, headers: dict[str, str], body: bytes) -> Outcome:
        shop.webhooks.endpoints.remove(endpoint.id)
        return post(url, headers, body)

    sell()
    worker = DeliveryWorker(shop.engine, seal=shop.seal, clock=shop.orders.clock, send=send)
    assert worker.round() == 1
    assert shop.webhooks.deliveries.recent() == ()
    assert worker.round() == 0


def test_what_is_asked_for_again_while_it_is_tried_is_tried_again(
    shop: Shop, merchant: Merchant, sell: Sell
) -> None:
    endpoint, _ = shop.webhooks.endpoints.add(merchant.url)
    asked: list[str] = []

    def send(url: str, headers: dict[str, str], body: bytes) -> Outcome:
        if not asked:
            (delivery,) = shop.webhooks.deliveries.of_endpoint(endpoint.id)
            asked.append(shop.webhooks.deliveries.send_again(delivery.id).id)
        return post(url, headers, body)

    sell()
    worker = DeliveryWorker(shop.engine, seal=shop.seal, clock=shop.orders.clock, send=send)
    assert worker.round() == 2
    assert len(set(merchant.ids)) == 1


def test_a_secret_of_another_installation_is_told_and_not_used(
    shop: Shop, merchant: Merchant, sell: Sell, tmp_path: Path
) -> None:
    from checkout.encryption import Seal

    endpoint, _ = shop.webhooks.endpoints.add(merchant.url)
    sell()
    other = DeliveryWorker(shop.engine, seal=Seal(tmp_path / "elsewhere"), clock=shop.orders.clock)
    assert other.round() == 1
    assert merchant.requests == []
    assert attempts(shop, endpoint.id) == [(None, "secret: not sealed by this installation's key")]


# What can be on the other end of the line.


@pytest.fixture
def listener() -> socket.socket:
    with socket.create_server(("127.0.0.1", 0)) as opened:
        yield opened


def spoken(listener: socket.socket, *parts: bytes, pause_s: float = 0.0) -> threading.Thread:
    def speak() -> None:
        sock, _ = listener.accept()
        with sock:
            heard = b""
            while not heard.endswith(b"{}"):  # all of it: closing on unread bytes is a reset
                heard += sock.recv(65536)
            try:
                for part in parts:
                    sock.sendall(part)
                    time.sleep(pause_s)
            except OSError:
                pass  # the other side had enough

    thread = threading.Thread(target=speak, daemon=True)
    thread.start()
    return thread


def sent_to(listener: socket.socket, timeout_s: float = 10.0) -> Outcome:
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    return post(url, {}, b"{}", timeout_s=timeout_s)


@pytest.mark.parametrize("part", [b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 90, b"H" * 90])
def test_an_answer_that_drips_is_cut_off_in_time(listener: socket.socket, part: bytes) -> None:
    spoken(listener, *(part[i : i + 1] for i in range(len(part))), pause_s=0.1)
    began = time.monotonic()
    outcome = sent_to(listener, timeout_s=1.0)
    assert time.monotonic() - began < 2
    assert (outcome.status, outcome.reason) == (None, "no answer within 1 s")


def test_silence_is_cut_off_in_time(listener: socket.socket) -> None:
    assert sent_to(listener, timeout_s=0.5).reason.startswith("no answer within")


def test_a_status_counts_though_the_body_never_ends(listener: socket.socket) -> None:
    spoken(listener, b"HTTP/1.1 200 OK\r\n\r\n", *[b"x"] * 60, pause_s=0.1)
    outcome = sent_to(listener, timeout_s=1.0)
    assert outcome.taken


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"", "the connection was closed without an answer"),
        (b"SSH-2.0-OpenSSH\r\n", "what came back is no HTTP"),
        (b"HTTP/1.1 999 Odd\r\n\r\n", "HTTP 999"),
    ],
)
def test_what_comes_back_is_told_in_a_few_words(
    listener: socket.socket, said: bytes, reason: str
) -> None:
    spoken(listener, said)
    outcome = sent_to(listener)
    assert not outcome.taken
    assert outcome.reason == reason


def test_nobody_there_is_told_in_a_few_words() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert post(f"http://127.0.0.1:{port}/", {}, b"{}").reason == "Connection refused"


def test_a_name_is_looked_up_once_and_only_near_addresses_get_plain_http(
    monkeypatch: pytest.MonkeyPatch, listener: socket.socket
) -> None:
    """A name server that answers twice (DNS rebinding) gains nothing."""
    port = listener.getsockname()[1]
    answers = ["127.0.0.1", "198.51.100.1", "169.254.169.254", "8.8.8.8"]

    def look_up(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        if host != "shop.local":
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answers.pop(0), port))]

    monkeypatch.setattr(socket, "getaddrinfo", lambda host, port, *_, **__: look_up(host, port))
    spoken(listener, b"HTTP/1.1 204 No Content\r\n\r\n")
    assert post(f"http://shop.local:{port}/", {}, b"{}").taken
    assert answers == ["198.51.100.1", "169.254.169.254", "8.8.8.8"]
    answers.pop(0)
    for expected in ("link-local", "plain http"):
        assert expected in post(f"http://shop.local:{port}/", {}, b"{}").reason


def test_https_is_believed_only_with_a_certificate_that_fits(tmp_path: Path) -> None:
    from checkout.config import Config
    from checkout.processes.certificate import certificate_files

    certificate, key = certificate_files(Config(home=tmp_path))
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with socket.create_server(("127.0.0.1", 0)) as plain:

        def answer() -> None:
            sock, _ = plain.accept()
            try:
                with context.wrap_socket(sock, server_side=True) as secure:
                    heard = b""
                    while not heard.endswith(b"{}"):
                        heard += secure.recv(65536)
                    secure.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            except OSError:
                sock.close()

        url = f"https://localhost:{plain.getsockname()[1]}/"
        for trusted in (False, True):
            thread = threading.Thread(target=answer, daemon=True)
            thread.start()
            with pytest.MonkeyPatch.context() as patched:
                if trusted:
                    patched.setenv("SSL_CERT_FILE", str(certificate))
                outcome = post(url, {}, b"{}")
            thread.join(5)
            assert outcome.taken is trusted, outcome
            if not trusted:
                assert outcome.reason.startswith("TLS: self-signed certificate")
