"""Counter, payer's pages, wallet, comparison, back office and the REST API; thin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Flask

from checkout.web import assets, context, problems
from checkout.web.access import credentials
from checkout.web.access.guard import Door
from checkout.web.access.rate_limit import SharedAttempts

if TYPE_CHECKING:
    from checkout.shop.shop import Shop

#: A photo from a phone's camera is the largest thing that anyone sends.
_LARGEST_BODY = 12 * 1024 * 1024
_STATIC_KEPT_S = 3600


def register(app: Flask, shop: Shop) -> None:
    """Put every page and the API of `shop` on `app`."""
    from checkout.web.access import login
    from checkout.web.api import orders_and_payments, webhooks as webhooks_api
    from checkout.web.counter import counter, pin_pad, scan_payer_code
    from checkout.web.office import compare, disputes, network, stickers, webhooks
    from checkout.web.payer import my_code, pay, top_up, wallet

    app.static_folder = str(assets.static_folder())
    if "static" not in app.view_functions:
        app.add_url_rule("/static/<path:filename>", "static", app.send_static_file)
    app.template_folder = "web/templates"
    app.config["MAX_CONTENT_LENGTH"] = _LARGEST_BODY
    app.config["MAX_FORM_MEMORY_SIZE"] = 64 * 1024
    app.config["SEND_FILE_MAX_AGE_DEFAULT"] = _STATIC_KEPT_S
    app.url_map.strict_slashes = False
    app.json.sort_keys = False  # type: ignore[attr-defined]
    problems.register(app)
    secrets = credentials.ensure(shop.config.home)
    logins = SharedAttempts(shop.engine, "sign-in", limit=5, window_s=60, clock=shop.orders.clock)
    Door(secrets, logins=logins, public_url=shop.config.public_url).install(app)
    context.install(app, shop)
    phones = (pay, wallet, top_up, my_code)
    desks = (stickers, network, disputes, webhooks)
    counters = (counter, scan_payer_code, pin_pad, compare, *desks)
    for room in (login, *phones, *counters, orders_and_payments, webhooks_api):
        app.register_blueprint(room.blueprint)
