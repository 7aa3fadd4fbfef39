"""The description of the API against its routes, and the API against its description."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS

from checkout import create_app
from checkout.shop.shop import Shop
from checkout.web.access.rate_limit import FailuresInMemory, RateLimit
from checkout.web.api.description import document
from checkout.web.context import RateLimits

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def described() -> set[tuple[str, str]]:
    paths = document("http://localhost:8000")["paths"]
    return {
        (method.upper(), path)
        for path, operations in paths.items()
        for method in operations.keys() & {"get", "post", "put", "delete", "patch"}
    }


def test_every_route_is_described_and_nothing_else(app: Flask) -> None:
    routes = {
        (method, re.sub(r"<(?:[a-z]+:)?([a-z_]+)>", r"{\1}", rule.rule))
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
        if rule.rule.startswith("/api/v1/")
    }
    assert described() == routes


def test_every_reference_leads_somewhere() -> None:
    description = document("http://localhost:8000")

    def look(node: object) -> None:
        if isinstance(node, dict):
            if "$ref" in node:
                found: object = description
                for part in str(node["$ref"]).removeprefix("#/").split("/"):
                    assert isinstance(found, dict)
                    found = found[part]
            for inner in node.values():
                look(inner)
        elif isinstance(node, list):
            for inner in node:
                look(inner)

    look(description)


def test_every_post_demands_an_idempotency_key() -> None:
    paths = document("http://localhost:8000")["paths"]
    for operations in paths.values():
        if "post" in operations:
            assert {"$ref": "#/components/parameters/idempotencyKey"} in operations["post"][
                "parameters"
            ]


#: Well-formed requests for orders that nobody has made are refused, and rightly.
_LEFT_OUT = {"positive_data_acceptance"}


def operations() -> list[str]:
    description = document("http://localhost:8000")
    # A stream of events has no end to wait for.
    found = (found for each in description["paths"].values() for found in each.values())
    ids = [each["operationId"] for each in found if isinstance(each, dict)]
    return [each for each in ids if each != "orderEvents"]


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize("operation_id", operations())
def test_the_api_keeps_to_its_description(
    shop: Shop, merchant_key: str, operation_id: str, mode: GenerationMode
) -> None:
    # Wrong keys are tried again and again here; the waiting has a test of its own.
    endless = RateLimit(FailuresInMemory(), limit=100_000, window_s=60)
    inner = create_app(shop=shop, rate_limits=replace(RateLimits.own(), sign_in=endless))

    def from_the_lan(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        # From this machine nothing would ask for the key.
        return inner.wsgi_app({**environ, "REMOTE_ADDR": "192.0.2.9"}, start)

    bearer = {"Authorization": f"Bearer {merchant_key}"}
    schema = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", from_the_lan, headers=bearer)
    operation = schema.find_operation_by_id(operation_id)
    try:
        strategy = operation.as_strategy(generation_mode=mode)
    except Unsatisfiable:
        pytest.skip("nothing about it can be wrong")
    wanted = [CHECKS.get_one(name) for name in CHECKS.get_all_names() if name not in _LEFT_OUT]

    @given(case=strategy)
    @settings(
        max_examples=10,
        deadline=None,
        derandomize=True,
        database=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    def check(case: Any) -> None:
        case.call_and_validate(checks=wanted, headers=bearer)

    check()
