"""Counter, payer's pages, wallet, comparison, back office and the REST API; thin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Flask

from checkout.web import assets, credentials, problems, views
from checkout.web.access import Door
from checkout.web.shared_attempts import SharedAttempts

if TYPE_CHECKING:
    from checkout.shop import Shop

#: A photo from a phone's camera is the largest thing that anyone sends.
_LARGEST_BODY = 12 * 1024 * 1024
_STATIC_KEPT_S = 3600


def register(app: Flask, shop: Shop) -> None:
    """Put every page and the API of `shop` on `app`."""
    from checkout.web import (
        api,
        api_webhooks,
        compare,
        counter,
        customer_code,
        disputes,
        door,
        enrolment,
        network,
        payer,
        phone_code,
        pin_pad,
        sticker_desk,
        wallet,
        wallet_top_up,
        webhook_desk,
    )

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
    views.install(app, shop)
    phones = (payer, wallet, wallet_top_up, phone_code)
    desks = (sticker_desk, network, disputes, webhook_desk)
    counters = (counter, customer_code, pin_pad, enrolment, compare, *desks)
    for room in (door, *phones, *counters, api, api_webhooks):
        app.register_blueprint(room.blueprint)
