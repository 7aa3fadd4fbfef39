"""The counter, the payer's pages, the comparison, the back office and the REST API."""

from __future__ import annotations

import atexit
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Blueprint, Flask

    from checkout.config import Config
    from checkout.shop.shop import Shop
    from checkout.web.context import RateLimits


_LARGEST_BODY = 16 * 1024 * 1024  # a photo from a phone's camera, and the form around it
# Werkzeug's multipart parser applies this limit to its whole buffer as well: what is left of the
# last read (64 KiB) and the next one. A limit near the read size refuses files at random.
_LARGEST_FIELD = 256 * 1024
_STATIC_CACHED_S = 3600


def create_app(
    config: Config | None = None, *, shop: Shop | None = None, rate_limits: RateLimits | None = None
) -> Flask:
    """The pages and the API of one shop as a Flask application.

    Without `shop` one is opened from `config` and closed when the process ends; without
    `rate_limits` failures are counted in the shop's database. Raises DatabaseError when the
    database cannot be used.
    """
    # Imported here so that one part of the package can be imported without Flask.
    from flask import Flask

    from checkout.config import Config
    from checkout.demo.payers import DemoPayers
    from checkout.shop.shop import Shop
    from checkout.web import assets, context, formatting, problems

    if shop is None:
        shop = Shop.open(config or Config(), payers=DemoPayers())
        atexit.register(shop.close)
    app = Flask(
        "checkout", static_folder=str(assets.static_folder()), template_folder="web/templates"
    )
    app.config["MAX_CONTENT_LENGTH"] = _LARGEST_BODY
    app.config["MAX_FORM_MEMORY_SIZE"] = _LARGEST_FIELD
    app.config["SEND_FILE_MAX_AGE_DEFAULT"] = _STATIC_CACHED_S
    app.url_map.strict_slashes = False
    app.json.sort_keys = False  # type: ignore[attr-defined]
    context.install(app, shop, rate_limits)
    problems.install(app)
    formatting.install(app)
    for blueprint in _blueprints():
        app.register_blueprint(blueprint)
    return app


def _blueprints() -> tuple[Blueprint, ...]:
    from checkout.web.access import login
    from checkout.web.api import description, orders_and_payments, webhooks as webhooks_api
    from checkout.web.counter import counter, pin_pad, scan_payer_code
    from checkout.web.office import compare, disputes, network, stickers, webhooks
    from checkout.web.payer import my_code, pay, top_up, wallet

    return (
        *(login.blueprint, counter.blueprint, scan_payer_code.blueprint, pin_pad.blueprint),
        *(pay.blueprint, wallet.blueprint, top_up.blueprint, my_code.blueprint),
        *(network.blueprint, disputes.blueprint, stickers.blueprint, webhooks.blueprint),
        compare.blueprint,
        *(orders_and_payments.blueprint, webhooks_api.blueprint, description.blueprint),
    )
