"""Strangers reach the payer's pages only; this machine, the operator and the merchant the rest."""

from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient

from checkout import create_app
from checkout.config import Config, ConfigError, decode_config, encode_config
from checkout.demo.payers import DemoPayers
from checkout.shop.orders.states import Order
from checkout.shop.shop import Shop
from checkout.web.access.guard import FORWARDING_HEADERS

LAN = "http://192.0.2.10:8000"
PRIVATE_PAGES = ["/", "/sales", "/compare", "/network", "/network/messages", "/events"]
PRIVATE_PATHS = [
    *PRIVATE_PAGES,
    "/api/v1/comparison",
    "/api/v1/openapi.json",
    "/api/v1/static-codes",
]


@pytest.mark.parametrize("path", PRIVATE_PAGES)
def test_a_stranger_is_sent_to_the_login_instead_of_a_private_page(
    stranger: FlaskClient, path: str
) -> None:
    answer = stranger.get(path, base_url=LAN)
    assert answer.status_code == 303
    assert answer.headers["Location"].startswith("/login?next=")


def test_every_route_but_the_payers_is_closed_to_strangers(
    app: Flask, stranger: FlaskClient, order: Order
) -> None:
    open_endpoints = {
        "static",
        "login.login",
        "login.sign_in",
        "login.sign_out",
        "payer.show",
        "payer.pay",
        "payer.fresh",
        "payer.receipt",
        "wallet.home",
        "wallet.choose",
        "wallet.scan",
        "wallet.read_photo",
        "wallet.read_frame",
        "top_up.show",
        "top_up.top_up",
        "my_code.show",
        "my_code.part",
        "my_code.state",
        "my_code.ask",
        "my_code.confirm",
        "my_code.refuse",
    }
    for rule in app.url_map.iter_rules():
        values = dict.fromkeys(rule.arguments, order.id) | {"seq": 1, "form": "png"}
        path = rule.rule
        for name in rule.arguments:
            for kind in ("", "int:", "path:"):
                path = path.replace(f"<{kind}{name}>", str(values[name]))
        for method in rule.methods & {"GET", "POST"}:
            answer = stranger.open(path, method=method, base_url=LAN)
            refused = answer.status_code == 401 or (
                answer.status_code == 303 and "/login" in answer.headers["Location"]
            )
            if rule.endpoint in open_endpoints:
                continue
            assert refused, f"{method} {path} answered {answer.status_code}"


def test_strangers_get_the_payers_styles_but_not_the_counters(stranger: FlaskClient) -> None:
    def status(path: str) -> int:
        with stranger.get(path, base_url=LAN) as answer:
            return answer.status_code

    assert status("/static/shared/base.css") == 200
    assert status("/static/payer/payer.css") == 200
    assert status("/static/counter/office.css") == 303
    assert status("/static/shared/../counter/office.css") != 200
    assert status("/static/shared/%2e%2e/counter/office.css") != 200
    assert status("/static/shared/../../pyproject.toml") != 200


@pytest.mark.parametrize("path", PRIVATE_PATHS)
@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1:8000", "[::1]:8000", "localhost"])
def test_this_machine_reaches_everything(client: FlaskClient, path: str, host: str) -> None:
    answer = client.get(path, base_url=f"http://{host}")
    assert answer.status_code == 200
    answer.close()


@pytest.mark.parametrize("header", FORWARDING_HEADERS)
def test_a_forwarded_request_is_not_local(client: FlaskClient, header: str) -> None:
    answer = client.get("/", base_url="http://localhost:8000", headers={header: "127.0.0.1"})
    assert answer.status_code == 303


def test_loopback_is_not_enough_under_another_host(client: FlaskClient) -> None:
    answer = client.get("/", base_url=LAN)
    assert answer.status_code == 303


def test_a_localhost_host_is_not_enough_from_another_peer(stranger: FlaskClient) -> None:
    assert stranger.get("/", base_url="http://localhost:8000").status_code == 303


def test_nothing_is_local_behind_a_public_url(shop: Shop, tmp_path) -> None:
    public = Shop(
        Config(home=shop.config.home, public_url="https://pay.example"),
        shop.engine,
        payers=DemoPayers(),
        clearing=lambda: None,  # type: ignore[arg-type, return-value]
    )
    client = create_app(shop=public).test_client()
    assert client.get("/", base_url="http://localhost:8000").status_code == 303
    assert client.get("/wallet/", base_url="https://pay.example").status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "localhost.evil.example"])
def test_a_rebound_name_gets_nothing_at_all(client: FlaskClient, host: str) -> None:
    for path in ("/", "/wallet/", "/api/v1/comparison"):
        assert client.get(path, base_url=f"http://{host}").status_code == 421


def test_the_password_opens_the_counter_for_half_a_day(
    stranger: FlaskClient, password: str
) -> None:
    answer = stranger.post("/login", base_url=LAN, data={"password": password, "next": "/compare"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/compare")
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
    assert stranger.get("/", base_url=LAN).status_code == 200
    assert stranger.get("/api/v1/comparison", base_url=LAN).status_code == 200
    stranger.post("/logout", base_url=LAN)
    assert stranger.get("/", base_url=LAN).status_code == 303


def test_a_copy_of_the_cookie_opens_nothing_after_the_sign_out(
    app: Flask, stranger: FlaskClient, password: str
) -> None:
    stranger.post("/login", base_url=LAN, data={"password": password})
    stolen = stranger.get_cookie("checkout_operator", domain="192.0.2.10")
    assert stolen is not None
    elsewhere = app.test_client()
    elsewhere.environ_base.update({"REMOTE_ADDR": "192.0.2.78"})
    elsewhere.set_cookie("checkout_operator", stolen.value, domain="192.0.2.10")
    assert elsewhere.get("/", base_url=LAN).status_code == 200
    stranger.post("/logout", base_url=LAN)
    assert elsewhere.get("/", base_url=LAN).status_code == 303
    # Another session of the same operator goes on, and ending one twice is no fault.
    stranger.post("/login", base_url=LAN, data={"password": password})
    elsewhere.post("/logout", base_url=LAN)
    assert stranger.get("/", base_url=LAN).status_code == 200


def test_the_sessions_cookie_is_secure_behind_an_https_proxy(shop: Shop, password: str) -> None:
    behind = Shop.open(
        Config(home=shop.config.home, public_url="https://pay.example"), payers=DemoPayers()
    )
    try:
        browser = create_app(shop=behind).test_client()
        answer = browser.post("/login", base_url="http://pay.example", data={"password": password})
    finally:
        behind.close()
    assert "Secure" in answer.headers["Set-Cookie"]


def test_what_a_webhook_calls_is_not_this_machine(client: FlaskClient) -> None:
    assert client.get("/").status_code == 200
    assert client.get("/", headers={"webhook-id": "evt_1"}).status_code == 303
    assert client.post("/orders", headers={"webhook-id": "evt_1"}).status_code == 401


def test_a_forged_session_opens_nothing(stranger: FlaskClient) -> None:
    stranger.set_cookie("checkout_operator", "Im9wZXJhdG9yIg.abc.def", domain="192.0.2.10")
    assert stranger.get("/", base_url=LAN).status_code == 303


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:x", ""]
)
def test_the_login_leads_to_no_other_site(
    stranger: FlaskClient, password: str, target: str
) -> None:
    answer = stranger.post("/login", base_url=LAN, data={"password": password, "next": target})
    assert answer.headers["Location"] == "/"


def test_wrong_passwords_are_slowed_down(stranger: FlaskClient, password: str) -> None:
    for _ in range(5):
        wrong = stranger.post("/login", base_url=LAN, data={"password": "guess"})
        assert wrong.status_code == 401
    right = stranger.post("/login", base_url=LAN, data={"password": password})
    assert right.status_code == 429
    assert int(right.headers["Retry-After"]) > 0


def test_the_merchant_key_opens_the_api_and_nothing_else(
    stranger: FlaskClient, merchant_key: str
) -> None:
    bearer = {"Authorization": f"Bearer {merchant_key}"}
    assert stranger.get("/api/v1/comparison", base_url=LAN, headers=bearer).status_code == 200
    assert stranger.get("/compare", base_url=LAN, headers=bearer).status_code == 303


def test_a_wrong_merchant_key_is_refused_even_here(client: FlaskClient) -> None:
    answer = client.get("/api/v1/comparison", headers={"Authorization": "Bearer nonsense"})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert answer.json["type"] == "/api/v1/problems/not-signed-in"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:8000"},
    ],
)
@pytest.mark.parametrize("path", ["/orders", "/login", "/wallet/account", "/api/v1/orders"])
def test_another_sites_page_cannot_send_a_form(
    client: FlaskClient, headers: dict[str, str], path: str
) -> None:
    answer = client.post(path, base_url="http://localhost:8000", headers=headers)
    assert answer.status_code == 403


def test_our_own_form_passes(client: FlaskClient) -> None:
    answer = client.post(
        "/orders",
        base_url="http://localhost:8000",
        headers={"Origin": "http://localhost:8000", "Sec-Fetch-Site": "same-origin"},
        data={"amount": "1.00", "currency": "CNY"},
    )
    assert answer.status_code == 303


def test_another_site_cannot_embed_the_api(client: FlaskClient) -> None:
    answer = client.get("/api/v1/comparison", headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403


@pytest.mark.parametrize("path", ["/", "/wallet/", "/nowhere", "/api/v1/comparison"])
def test_every_answer_carries_the_security_headers(client: FlaskClient, path: str) -> None:
    headers = client.get(path).headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"


def test_pages_hold_no_inline_script_style_or_foreign_host(
    client: FlaskClient, order: Order
) -> None:
    for path in (
        "/",
        f"/orders/{order.id}",
        "/compare",
        "/network",
        f"/p/{order.code}",
        "/wallet/",
    ):
        page = client.get(path, follow_redirects=True).text
        assert "<script>" not in page
        assert " style=" not in page
        assert " onclick=" not in page
        assert 'src="http' not in page and 'href="http' not in page


PROXY = {"REMOTE_ADDR": "127.0.0.1"}


def proxied(shop: Shop, *trusted: str) -> FlaskClient:
    """A visitor through a proxy on this machine."""
    behind = Shop(
        Config(home=shop.config.home, public_url="https://pay.example", trusted_proxies=trusted),
        shop.engine,
        payers=DemoPayers(),
        clearing=lambda: None,  # type: ignore[arg-type, return-value]
    )
    visitor = create_app(shop=behind).test_client()
    visitor.environ_base.update(PROXY)
    return visitor


def guess(visitor: FlaskClient, forwarded_for: str, password: str = "wrong") -> int:
    headers = {"X-Forwarded-For": forwarded_for, "X-Forwarded-Proto": "https"}
    data = {"password": password}
    return visitor.post(
        "/login", base_url="http://pay.example", data=data, headers=headers
    ).status_code


def test_one_stranger_behind_a_trusted_proxy_locks_nobody_else_out(
    app: Flask, shop: Shop, password: str
) -> None:
    visitor = proxied(shop, "127.0.0.1", "10.0.0.0/8")
    tries = [guess(visitor, f"198.51.100.{n}, 203.0.113.5, 10.1.2.3") for n in range(6)]
    assert tries == [401] * 5 + [429]  # what the stranger wrote before its address is no other
    assert guess(visitor, "203.0.113.6", password) == 303


def test_a_forwarded_address_counts_for_nothing_without_a_trusted_proxy(
    app: Flask, shop: Shop
) -> None:
    for trusted in ((), ("192.0.2.1",)):
        visitor = proxied(shop, *trusted)
        last = [guess(visitor, f"203.0.113.{n}") for n in range(6)][-1]
        assert last == 429


def test_nobody_behind_a_trusted_proxy_is_this_machine(app: Flask, shop: Shop) -> None:
    behind = Shop(
        Config(home=shop.config.home, trusted_proxies=("127.0.0.1",)),
        shop.engine,
        payers=DemoPayers(),
        clearing=lambda: None,  # type: ignore[arg-type, return-value]
    )
    visitor = create_app(shop=behind).test_client()
    for headers in ({}, {"X-Forwarded-For": "127.0.0.1"}):
        answer = visitor.get("/", base_url="http://localhost:8000", headers=headers)
        assert answer.status_code == 303


@pytest.mark.parametrize("proxy", ["proxy.example", "10.0.0.0/99", ""])
def test_a_trusted_proxy_is_an_address_or_a_network(proxy: str) -> None:
    with pytest.raises(ConfigError, match="trusted-proxy: expected an IP address or network"):
        Config(trusted_proxies=(proxy,))


def test_trusted_proxies_reach_the_workers() -> None:
    config = Config(trusted_proxies=("127.0.0.1", "::1"))
    assert decode_config(encode_config(config)) == config
