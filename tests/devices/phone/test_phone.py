"""The emulated phone: scans a picture, follows the form, reads the result."""

from __future__ import annotations

import io
from pathlib import Path
from urllib.parse import parse_qs

import pytest
import qrcode
from PIL import Image

from devices.phone import Answer, HttpNetwork, Human, Phone, PhoneError

FORM = """<main><form data-pay method=post action="/p/ABC">
<input type=hidden name=submission value=n1><input type=hidden name=opened value=o1>
<input type=radio name=payer value=alice><input type=radio name=payer value=bob>
<input type=password name=pin></form></main>"""
PAID = """<main><section data-outcome="paid" data-payment="pay_1" data-response-code="00">
Paid</section></main>"""


class Script:
    """A network that answers from a list and stores the requests in `asked`."""

    def __init__(self, *answers: tuple[int, dict[str, str], str]) -> None:
        self._answers = list(answers)
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []

    def request(self, method: str, url: str, headers: dict[str, str], body: bytes) -> Answer:
        self.asked.append((method, url, headers, body))
        status, more, text = self._answers.pop(0)
        return Answer(
            status=status, headers=more, body=text.encode(), bytes_sent=100, bytes_received=200
        )


def picture(text: str, size: int = 8) -> bytes:
    out = io.BytesIO()
    qrcode.make(text, box_size=size).save(out, "PNG")
    return out.getvalue()


def test_the_phone_fills_in_the_form_that_the_picture_leads_to() -> None:
    network = Script((200, {}, FORM), (303, {"location": "/r/1"}, ""), (200, {}, PAID))
    result = Phone("bob", pin="654321", network=network).pay(picture("HTTP://192.0.2.1:8000/P/ABC"))
    assert (result.outcome, result.payment, result.response_code) == ("paid", "pay_1", "00")
    assert [(method, url) for method, url, _, _ in network.asked] == [
        ("GET", "HTTP://192.0.2.1:8000/P/ABC"),
        ("POST", "http://192.0.2.1:8000/p/ABC"),
        ("GET", "http://192.0.2.1:8000/r/1"),
    ]
    sent = parse_qs(network.asked[1][3].decode())
    assert sent == {"submission": ["n1"], "opened": ["o1"], "payer": ["bob"], "pin": ["654321"]}
    assert network.asked[1][2]["Origin"] == "http://192.0.2.1:8000"


def test_time_of_a_person_is_modelled_and_nobody_waits_for_it() -> None:
    network = Script((200, {}, FORM), (200, {}, PAID))
    human = Human(aim_ms=1000, read_ms=500, digit_ms=100)
    result = Phone("bob", network=network, human=human).pay(picture("http://192.0.2.1/p/ABC"))
    assert result.modelled_ms == 1000 + 500 + (500 + 7 * 100)
    measured = [each for each in result.exchanges if not each.modelled]
    assert sum(each.bytes_sent for each in measured) == 200
    assert all(each.took_ms < 1000 for each in measured)


def test_a_code_that_ran_out_is_exchanged_for_a_fresh_one() -> None:
    expired = (
        '<main><p data-outcome="expired"></p><a href="/p/OLD/fresh" data-fresh>fresh</a></main>'
    )
    network = Script((410, {}, expired), (200, {}, FORM), (200, {}, PAID))
    assert Phone("bob", network=network).pay_at("http://192.0.2.1/p/OLD").outcome == "paid"
    assert network.asked[1][1] == "http://192.0.2.1/p/OLD/fresh"


def test_expired_code_stays_expired_where_the_phone_may_not_ask_for_a_fresh_one() -> None:
    expired = (
        '<main><p data-outcome="expired"></p><a href="/p/OLD/fresh" data-fresh>fresh</a></main>'
    )
    network = Script((410, {}, expired))
    result = Phone("bob", network=network).pay_at("http://192.0.2.1/p/OLD", fresh=False)
    assert result.outcome == "expired"


def test_a_refused_pin_is_an_outcome() -> None:
    again = FORM.replace("name=pin>", 'name=pin aria-invalid="true"><p>wrong</p>')
    result = Phone("bob", network=Script((200, {}, FORM), (403, {}, again))).pay_at(
        "http://a.example/p/A"
    )
    assert result.outcome == "wrong-pin"
    assert "wrong" in result.text


def test_an_account_that_the_page_does_not_offer_is_a_fault() -> None:
    with pytest.raises(PhoneError, match="payer: the page offers no account called 'eve'"):
        Phone("eve", network=Script((200, {}, FORM))).pay_at("http://a.example/p/A")


def test_a_circle_of_redirects_ends() -> None:
    around = [(302, {"location": "/p/A"}, "")] * 10
    with pytest.raises(PhoneError, match="redirects"):
        Phone("bob", network=Script(*around)).pay_at("http://a.example/p/A")


@pytest.mark.parametrize("content", [b"", b"no picture", picture("x")[:200]])
def test_a_picture_that_cannot_be_read_is_a_fault(content: bytes) -> None:
    with pytest.raises(PhoneError, match="picture: "):
        Phone("bob").scan(content)


def test_a_missing_file_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(PhoneError, match="picture: "):
        Phone("bob").scan(tmp_path / "none.png")


def test_two_codes_in_one_picture_are_a_fault() -> None:
    one, two = (Image.open(io.BytesIO(picture(text, 5))).convert("L") for text in ("A1", "B2"))
    both = Image.new("L", (one.width + two.width + 80, max(one.height, two.height)), 255)
    both.paste(one, (0, 0))
    both.paste(two, (one.width + 80, 0))
    out = io.BytesIO()
    both.save(out, "PNG")
    with pytest.raises(PhoneError, match="expected one code, found 2"):
        Phone("bob").scan(out.getvalue())


@pytest.mark.parametrize("url", ["weixin://wxpay/bizpayurl?pr=1", "file:///etc/passwd", "6212345"])
def test_only_http_is_opened(url: str) -> None:
    with pytest.raises(PhoneError, match="expected http or https"):
        Phone("bob").pay_at(url)


def test_a_server_that_is_not_there_is_a_fault_in_one_line() -> None:
    with pytest.raises(PhoneError, match="network: "):
        Phone("bob", network=HttpNetwork(timeout_s=1)).pay_at("http://127.0.0.1:9/p/A")
