"""The pieces that descriptions of API paths are put together from (OpenAPI 3.1)."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]


def ref(name: str) -> Schema:
    """A reference to a schema of this description."""
    return {"$ref": f"#/components/schemas/{name}"}


def parameter(name: str) -> Schema:
    """A reference to a parameter of this description."""
    return {"$ref": f"#/components/parameters/{name}"}


def in_path(name: str, schema: Schema) -> Schema:
    """A parameter in the path."""
    return {"name": name, "in": "path", "required": True, "schema": schema}


def closed_object(properties: Schema, *, required: tuple[str, ...] = ()) -> Schema:
    """An object with these properties and no others."""
    schema: Schema = {
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }
    return {**schema, "required": list(required)} if required else schema


def whole_object(properties: Schema) -> Schema:
    """An object that has all of these properties."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def content(*media_types: str) -> Schema:
    """An answer of one of these media types."""
    schema = {"type": "object"} if media_types == ("application/json",) else {"type": "string"}
    return {
        "description": "As asked.",
        "content": {each: {"schema": schema} for each in media_types},
    }


def answer(description: str, schema: str) -> Schema:
    """A JSON answer."""
    return {
        "description": description,
        "content": {"application/json": {"schema": ref(schema)}},
    }


def created(answer: Schema) -> Schema:
    """An answer that says where it is read again."""
    location = {"description": "Where it is read again.", "schema": {"type": "string"}}
    return {**answer, "headers": {"Location": location}}


def reading(operation: str, summary: str, answer: Schema) -> Schema:
    """A GET."""
    problem = {"$ref": "#/components/responses/Problem"}
    return {
        "operationId": operation,
        "summary": summary,
        "responses": {"200": answer, "4XX": problem, "5XX": problem},
    }


def posting(operation: str, summary: str, body: str, answers: Schema) -> Schema:
    """A POST, with its Idempotency-Key."""
    problem = {"$ref": "#/components/responses/Problem"}
    needed = body not in ("Empty", "MaybeAmount")
    return {
        "operationId": operation,
        "summary": summary,
        "parameters": [parameter("idempotencyKey")],
        "requestBody": {
            "required": needed,
            "content": {"application/json": {"schema": ref(body)}},
        },
        "responses": {**answers, "4XX": problem, "5XX": problem},
    }


def deleting(operation: str, summary: str) -> Schema:
    """A DELETE, answered with nothing."""
    problem = {"$ref": "#/components/responses/Problem"}
    return {
        "operationId": operation,
        "summary": summary,
        "responses": {"204": {"description": "It is gone."}, "4XX": problem, "5XX": problem},
    }
