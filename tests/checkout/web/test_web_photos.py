"""Photos as phones send them: large multipart forms, wherever the parser's reads cut them."""

from __future__ import annotations

import io
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image
from werkzeug.test import TestResponse

from checkout.shop.orders.states import Order, OrderState
from checkout.shop.shop import Shop
from checkout.web.access.rate_limit import FailuresInMemory, RateLimit
from checkout.web.scanned_picture import AT_A_TIME
from devices.qr.symbol import rendering

LAN = "http://192.0.2.10:8000"
STRANGER = {"REMOTE_ADDR": "192.0.2.77"}
READ = 64 * 1024  # what the parser takes from the connection at a time


@pytest.fixture(autouse=True)
def any_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests send more pictures than one phone may."""
    monkeypatch.setattr(
        "checkout.web.context._pictures",
        lambda: RateLimit(FailuresInMemory(), limit=10**6, window_s=1),
    )


def photo(text: str, size: int, seed: int = 0) -> bytes:
    """A JPEG of a code with comments of random bytes in it, `size` bytes long in all."""
    drawn = io.BytesIO()
    Image.open(io.BytesIO(rendering.png(text))).convert("RGB").save(drawn, "JPEG", quality=92)
    picture = drawn.getvalue()
    noise = random.Random(seed).randbytes(size)
    comments = []
    left = size - len(picture)
    while left > 4:  # a COM segment holds at most 65,533 bytes (ITU-T T.81, B.2.4.5)
        length = min(left - 4, 65_533)
        comments.append(b"\xff\xfe" + (length + 2).to_bytes(2) + noise[:length])
        left -= length + 4
    return picture[:2] + b"".join(comments) + picture[2:]


def multipart(picture: bytes, boundary: bytes, before: int = 0) -> bytes:
    """A form as browsers send it: a field of `before` characters, an empty one, the photo."""
    lines = (
        (b'Content-Disposition: form-data; name="note"', b"x" * before),
        (b'Content-Disposition: form-data; name="text"', b""),
        (
            b'Content-Disposition: form-data; name="photo"; filename="IMG_0001.jpg"\r\n'
            b"Content-Type: image/jpeg",
            picture,
        ),
    )
    parts = (b"--" + boundary + b"\r\n" + head + b"\r\n\r\n" + body for head, body in lines)
    return b"\r\n".join((*parts, b"--" + boundary + b"--", b""))


def send(
    client: FlaskClient, path: str, body: bytes, boundary: bytes, base_url: str
) -> TestResponse:
    kind = f"multipart/form-data; boundary={boundary.decode()}"
    return client.post(path, base_url=base_url, data=body, content_type=kind)


def cuts() -> Iterator[tuple[int, int, int]]:
    """Sizes of photos in bytes, lengths of the field before them, lengths of the boundary."""
    for size in (200_000, 800_000, 3_000_000, 12_000_000, 12 * 1024 * 1024):
        yield size, 0, 38
    for step in range(0, 160, 7):  # the last read ends in, before and after the closing boundary
        yield 4 * READ - 400 + step, 0, 38
    for before in range(READ - 520, READ + 40, 37):  # the first read ends in the photo's headers
        yield 200_000, before, 58
    yield 200_000, 0, 70  # the longest boundary (RFC 2046, 5.1.1)


def test_the_wallet_reads_photos_of_every_size_wherever_the_reads_cut_them(
    stranger: FlaskClient, order: Order
) -> None:
    refused = []
    for seed, (size, before, length) in enumerate(cuts()):
        boundary = (b"-" * 26 + f"{seed:044d}".encode())[-length:]
        picture = photo(f"{LAN}/p/{order.code}", size, seed)
        body = multipart(picture, boundary, before)
        answer = send(stranger, "/wallet/scan", body, boundary, LAN)
        if not answer.headers.get("Location", "").upper().endswith(f"/P/{order.code}"):
            refused.append((size, before, length, answer.status_code))
    assert refused == []


@pytest.mark.parametrize(
    ("size", "payer"),
    [
        (200_000, "unionpay-debit"),
        (800_000, "unionpay-credit"),
        (4_000_000, "unionpay-class2"),
        (12_000_000, "unionpay-class3"),
    ],
)
def test_the_counter_reads_photos_of_every_size(
    client: FlaskClient, shop: Shop, order: Order, size: int, payer: str
) -> None:
    boundary = b"----WebKitFormBoundaryAbCdEfGhIjKlMnOp"
    picture = photo(shop.payer_codes.show(payer).emv, size)
    path = f"/orders/{order.id}/payment-code"
    answer = send(client, path, multipart(picture, boundary), boundary, "http://localhost")
    assert answer.status_code == 303
    assert shop.orders.get(order.id).state is OrderState.PAID


def test_a_body_or_field_larger_than_any_photo_is_a_413(stranger: FlaskClient) -> None:
    boundary = b"----WebKitFormBoundaryAbCdEfGhIjKlMnOp"
    too_large = multipart(b"x" * 17_000_000, boundary)
    assert send(stranger, "/wallet/scan", too_large, boundary, LAN).status_code == 413
    field = multipart(b"", boundary, before=300_000)
    assert send(stranger, "/wallet/scan", field, boundary, LAN).status_code == 413


def test_pictures_beyond_the_bound_get_a_503_and_the_counter_has_its_own_places(
    monkeypatch: pytest.MonkeyPatch, app: Flask, stranger: FlaskClient, order: Order
) -> None:
    reading, going_on = threading.Semaphore(0), threading.Event()

    def slow(_picture: bytes) -> tuple[()]:
        reading.release()
        assert going_on.wait(20)
        return ()

    monkeypatch.setattr("checkout.web.scanned_picture.read_all", slow)
    frame = rendering.png("https://example.org/")

    def send_frame() -> int:
        phone = app.test_client()
        answer = phone.post("/wallet/frame", base_url=LAN, data=frame, environ_base=STRANGER)
        return answer.status_code

    with ThreadPoolExecutor(AT_A_TIME + 1) as pool:
        taken = [pool.submit(send_frame) for _ in range(AT_A_TIME)]
        for _ in taken:
            assert reading.acquire(timeout=20)
        refused = stranger.post("/wallet/frame", base_url=LAN, data=frame)
        counter = app.test_client()
        own = pool.submit(counter.post, f"/orders/{order.id}/frame", data=frame)
        at_work = reading.acquire(timeout=20)
        going_on.set()
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "2")
        assert at_work
        assert own.result().status_code == 200
        assert [each.result() for each in taken] == [200] * AT_A_TIME
    assert stranger.post("/wallet/frame", base_url=LAN, data=frame).status_code == 200
