"""The API's description as OpenAPI 3.1, generated from its routes and the types of its bodies."""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from typing import Any

import msgspec
from flask import Response, jsonify
from msgspec import UNSET, Struct, inspect
from werkzeug.exceptions import NotFound

from checkout.shop.webhooks.events import EventType
from checkout.shop.webhooks.signing import ID, SIGNATURE, TIMESTAMP
from checkout.web import codes
from checkout.web.api import bodies, orders_and_payments, webhooks
from checkout.web.api.operations import Answer, Operation, Operations, reply
from checkout.web.context import current_shop
from checkout.web.problems import KINDS, PROBLEM_TYPES

Schema = dict[str, Any]

api = Operations("api_description", tag="Description")
blueprint = api.blueprint

_REF = "#/components/schemas/{name}"
#: What any operation may refuse, and what any POST may.
_ANY_PROBLEMS = ("not-signed-in", "cross-site", "wrong-host", "too-many-tries", "database")
_POST_PROBLEMS = (
    "body",
    "idempotency-key",
    "field",
    "key-reused",
    "request-under-way",
    "request-interrupted",
)
_TAGS = {
    "Orders": "What a payer owes, from its opening to its payment, capture and refunds.",
    "Payments": "One attempt to pay, step by step.",
    "Printed codes": "Stickers whose payer types the amount.",
    "Reports": "Code and tap side by side; closed days.",
    "Webhooks": "Where the shop sends its events.",
    "Description": "This description and its problem types.",
}


@api.get(
    "/openapi.json",
    "description",
    Answer(description="OpenAPI 3.1.", media_types=("application/json",)),
)
def description() -> Response:
    """This description."""
    return jsonify(document(codes.local_url(current_shop().config)))


@api.get("/problems/<kind>", "problem", Answer(description="Its title.", body=bodies.ProblemType))
def problem(kind: str) -> Response:
    """What a problem type means."""
    if kind not in KINDS:
        raise NotFound
    status, title = KINDS[kind]
    return reply(bodies.ProblemType(type=PROBLEM_TYPES + kind, title=title, status=status))


def document(server: str) -> Schema:
    """The whole description, for the API at `server`."""
    return {**_document(), "servers": [{"url": server}]}


def operations() -> list[Operation]:
    """Every operation of the API."""
    return [*orders_and_payments.api.described, *webhooks.api.described, *api.described]


@cache
def _document() -> Schema:
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Checkout",
            "version": "1",
            "description": (
                "Orders of one shop, payable by a QR code and by an NFC tap. Amounts are whole "
                "minor units (fen, cents). A decline is an answer, not an error: read the "
                "payment's state."
            ),
        },
        "security": [{"merchantKey": []}],
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "paths": _paths(),
        "webhooks": {str(event): {"post": _webhook(event)} for event in EventType},
        "components": {
            "securitySchemes": {"merchantKey": {"type": "http", "scheme": "bearer"}},
            "schemas": _schemas(),
            "parameters": _parameters(),
            "responses": {
                "Problem": {
                    "description": "What is wrong, as RFC 9457 problem details.",
                    "content": {"application/problem+json": {"schema": _ref(bodies.Problem)}},
                }
            },
        },
    }


def _paths() -> Schema:
    paths: dict[str, Schema] = defaultdict(dict)
    for operation in operations():
        path = paths[operation.path]
        if operation.path_parameters:
            path["parameters"] = [_parameter(_camel(name)) for name in operation.path_parameters]
        path[operation.method.lower()] = _operation(operation)
    return dict(paths)


def _operation(operation: Operation) -> Schema:
    described: Schema = {
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
    }
    if operation.description:
        described["description"] = operation.description
    parameters = [_parameter(name) for name in operation.parameters]
    if operation.body is not None:
        parameters.append(_parameter("idempotencyKey"))
        described["requestBody"] = {
            # A body may be left out where every field may.
            "required": any(field.required for field in _fields(operation.body)),
            "content": _json_content(operation.body),
        }
    if parameters:
        described["parameters"] = parameters
    described["responses"] = {
        **{str(status): _answer(answer) for status, answer in operation.answers.items()},
        **_problems(operation),
    }
    return described


def _answer(answer: Answer) -> Schema:
    described: Schema = {"description": answer.description}
    if answer.body is not None:
        described["content"] = _json_content(answer.body)
    elif answer.media_types:
        described["content"] = {
            each: {"schema": {"type": "object" if each.endswith("json") else "string"}}
            for each in answer.media_types
        }
    if answer.located:
        location = {"description": "Where it is read again.", "schema": {"type": "string"}}
        described["headers"] = {"Location": location}
    return described


def _problems(operation: Operation) -> Schema:
    """The refusals of an operation by status, each kind as an example; then all others."""
    kinds = (*operation.problems, *_ANY_PROBLEMS)
    if operation.body is not None:
        kinds = (*kinds, *_POST_PROBLEMS)
    by_status: dict[int, list[str]] = defaultdict(list)
    for kind in dict.fromkeys(kinds):
        by_status[KINDS[kind][0]].append(kind)
    shared = {"$ref": "#/components/responses/Problem"}
    return {
        **{str(status): _problem(status, by_status[status]) for status in sorted(by_status)},
        "4XX": shared,
        "5XX": shared,
    }


def _problem(status: int, kinds: list[str]) -> Schema:
    examples = {
        kind: {
            "value": {
                "type": PROBLEM_TYPES + kind,
                "title": KINDS[kind][1],
                "status": status,
                "detail": f"{KINDS[kind][1]}.",
            }
        }
        for kind in kinds
    }
    content = {"schema": _ref(bodies.Problem), "examples": examples}
    return {
        "description": "; ".join(KINDS[kind][1] for kind in kinds) + ".",
        "content": {"application/problem+json": content},
    }


def _webhook(event: EventType) -> Schema:
    headers = (
        (ID, "The event's id: the same however often it is sent."),
        (TIMESTAMP, "When this attempt was signed, in seconds since the epoch."),
        (SIGNATURE, "v1,<base64 of HMAC-SHA256 over id.timestamp.body>, space-separated."),
    )
    body = example(bodies.WebhookEvent) | {"type": str(event)}
    taken = "Taken. 410 disables the endpoint; after any other answer it is tried again."
    return {
        "operationId": "on" + "".join(part.title() for part in str(event).split(".")),
        "tags": ["Webhooks"],
        "summary": str(event),
        "parameters": [
            {
                "name": name,
                "in": "header",
                "required": True,
                "description": text,
                "schema": {"type": "string"},
            }
            for name, text in headers
        ],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _ref(bodies.WebhookEvent), "example": body}},
        },
        "responses": {"2XX": {"description": taken}},
        "security": [],
    }


def _schemas() -> Schema:
    types: set[type[Struct]] = {bodies.Problem, bodies.WebhookEvent}
    for operation in operations():
        types |= {each.body for each in operation.answers.values() if each.body is not None}
        types |= set() if operation.body is None else {operation.body}
    ordered = sorted(types, key=lambda each: each.__name__)
    return msgspec.json.schema_components(ordered, ref_template=_REF)[1]


def _parameters() -> Schema:
    identifier = {"type": "string", "pattern": "^[a-z]{3}_[0-9a-z]{16}$"}
    in_path = {
        "order_id": identifier | {"examples": ["ord_5x7pq3z5q4xc6kav"]},
        "payment_id": identifier | {"examples": ["pay_7m2kq4z5p3xc6kbw"]},
        "endpoint_id": identifier | {"examples": ["whe_2c4mq7z5p3xc6kdf"]},
        "delivery_id": identifier | {"examples": ["whd_3f4mq7z5p3xc6kgh"]},
        "form": {"enum": ["png", "svg"]},
        "day": {"type": "string", "format": "date", "examples": ["2026-03-02"]},
        "kind": {"type": "string", "pattern": "^[a-z-]+$", "examples": ["already-paid"]},
    }
    return {
        **{
            _camel(name): {"name": name, "in": "path", "required": True, "schema": schema}
            for name, schema in in_path.items()
        },
        "format": {
            "name": "format",
            "in": "query",
            "description": "What the picture holds: the link (without this) or the EMV payload.",
            "schema": {"enum": ["link", "emv"]},
        },
        "lastEventId": {
            "name": "Last-Event-ID",
            "in": "header",
            "description": "The number of the last event seen; the stream goes on after it.",
            "schema": {"type": "string", "pattern": "^[0-9]{1,18}$"},
        },
        "idempotencyKey": {
            "name": "Idempotency-Key",
            "in": "header",
            "required": True,
            "description": "Chosen by the client; the same key and body get the same answer again.",
            "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
        },
    }


def example(body: type[Struct]) -> Schema:
    """An example of a body, put together from the examples of its fields."""
    shown = {field.encode_name: _example(field.type) for field in _fields(body)}
    return {name: value for name, value in shown.items() if value is not UNSET}


def _example(of: inspect.Type) -> Any:
    if isinstance(of, inspect.Metadata):
        given = (of.extra_json_schema or {}).get("examples")
        return given[0] if given else _example(of.type)
    if isinstance(of, inspect.UnionType):
        return _example(of.types[0])
    if isinstance(of, inspect.StructType):
        return example(of.cls)
    if isinstance(of, inspect.ListType):
        return [_example(of.item_type)]
    if isinstance(of, inspect.LiteralType):
        return of.values[0]
    if isinstance(of, inspect.EnumType):
        return next(iter(of.cls)).value
    if isinstance(of, inspect.DictType):
        return {}
    assert isinstance(of, inspect.BoolType), f"no example of {of}"
    return False


def _fields(body: type[Struct]) -> tuple[inspect.Field, ...]:
    described = inspect.type_info(body)
    assert isinstance(described, inspect.StructType)
    return described.fields


def _json_content(body: type[Struct]) -> Schema:
    return {"application/json": {"schema": _ref(body), "example": example(body)}}


def _ref(body: type[Struct]) -> Schema:
    return {"$ref": _REF.format(name=body.__name__)}


def _parameter(name: str) -> Schema:
    return {"$ref": f"#/components/parameters/{name}"}


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)
