"""The phone reads a page by the attributes that its elements carry for programs."""

from __future__ import annotations

import base64

from devices.phone.page import Page

CODE = b"""<main><div data-digits="9912345678901234567"><section data-since="17">
<img src="data:image/svg+xml;base64,QQ==">
<img data-symbol src="data:image/svg+xml;base64,%s"></section></div></main>""" % base64.b64encode(
    b"<svg/>"
)


def test_form_of_a_payment_is_read_and_no_other() -> None:
    page = Page(
        b'<form action="/search"><input name=payer value=eve></form>'
        b'<form data-pay action="/p/A"><input type=hidden name=opened value=o1>'
        b"<input name=payer value=bob><input name=amount></form>"
    )
    assert page.form is not None
    assert (page.form.action, page.form.hidden) == ("/p/A", {"opened": "o1"})
    assert (page.form.payers, page.form.asks_amount) == (["bob"], True)


def test_only_the_marked_picture_is_the_symbol() -> None:
    page = Page(CODE)
    assert (page.digits, page.since, page.symbol) == ("9912345678901234567", "17", b"<svg/>")
    assert Page(CODE.replace(b" data-symbol", b"")).symbol == b""
    assert Page(b'<img data-symbol src="data:image/svg+xml;base64,*">').symbol == b""


def test_only_the_marked_link_leads_to_a_fresh_code() -> None:
    assert Page(b'<a href="/p/A/fresh">fresh</a>').fresh_link is None
    assert Page(b'<a href="/p/A/fresh" data-fresh>fresh</a>').fresh_link == "/p/A/fresh"


def test_text_of_a_problem_is_the_problems_alone() -> None:
    page = Page(
        b"<h1>Shop</h1><main>Lane Tea House<section data-outcome=problem> No such\n code"
        b"</section><a href=/>Go to the counter</a></main>"
    )
    assert (page.outcome, page.text) == ("problem", "No such code")
