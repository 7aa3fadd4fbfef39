"""What every POST of the API needs: its key, its JSON body, and the fields in it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from flask import Response, request
from werkzeug.exceptions import HTTPException, UnsupportedMediaType

from checkout.errors import ShopError
from checkout.web.context import current_context
from checkout.web.idempotency import KEY_LENGTH, fingerprint
from checkout.web.problems import Problem, as_response

_KEY = re.compile(rf"[\x21-\x7e]{{1,{KEY_LENGTH}}}", re.ASCII)
_LARGEST_JSON = 16 * 1024


def once(
    work: Callable[[dict[str, Any]], Response], known: set[str], *, secret: bool = False
) -> Response:
    """Do `work` with the JSON body, whose fields are `known`, once for its Idempotency-Key.

    With `secret` the answer is kept encrypted. Problem where key or body cannot be taken.
    """
    key = _idempotency_key()
    body = _body(known)
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"))

    def guarded() -> Response:
        try:
            return work(body)
        except (Problem, ShopError, HTTPException) as refusal:
            return as_response(refusal)

    mark = fingerprint(request.method, request.path, canonical)
    return current_context().responses.once("api", key, mark, guarded, secret=secret)


def required_field(body: dict[str, Any], name: str) -> Any:
    """A field that must be there; Problem(field)."""
    if name not in body:
        raise Problem(kind="field", detail=f"{name}: it is missing", field=name)
    return body[name]


def text_field(
    body: dict[str, Any], name: str, *, required: bool = False, longest: int = 64
) -> str | None:
    """A text of 1 to `longest` characters; Problem(field)."""
    value = required_field(body, name) if required else body.get(name)
    if value is None and not required:
        return None
    if not isinstance(value, str) or not 1 <= len(value) <= longest:
        detail = f"{name}: expected a text of 1 to {longest} characters"
        raise Problem(kind="field", detail=detail, field=name)
    return value


def flag_field(body: dict[str, Any], name: str) -> bool:
    """True or false, false where it is missing; Problem(field)."""
    value = body.get(name, False)
    if not isinstance(value, bool):
        raise Problem(kind="field", detail=f"{name}: expected true or false", field=name)
    return value


def _idempotency_key() -> str:
    key = request.headers.get("Idempotency-Key", "")
    if _KEY.fullmatch(key) is None:
        detail = (
            f"Idempotency-Key: expected 1 to {KEY_LENGTH} visible ASCII characters of your choice."
        )
        raise Problem(kind="idempotency-key", detail=detail, field="Idempotency-Key")
    return key


def _body(known: set[str]) -> dict[str, Any]:
    request.max_content_length = _LARGEST_JSON
    raw = request.get_data()
    if not raw:
        return {}
    if not request.is_json:
        raise UnsupportedMediaType
    try:
        body = json.loads(raw, parse_constant=_no_constant, object_pairs_hook=_each_once)
    except (ValueError, RecursionError):
        raise Problem(kind="body", detail="body: expected a JSON object.") from None
    if not isinstance(body, dict):
        raise Problem(kind="body", detail="body: expected a JSON object.")
    for name in body.keys() - known:
        expected = ", ".join(sorted(known)) or "no field"
        detail = f"{name[:64]}: no such field here, expected {expected}"
        raise Problem(kind="field", detail=detail, field=name[:64])
    return body


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A name that stands twice leaves open which value is meant (RFC 8259, section 4)."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for n, (name, _) in enumerate(pairs) if name in dict(pairs[:n]))
        raise Problem(kind="field", detail=f"{twice[:64]}: it stands twice", field=twice[:64])
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
