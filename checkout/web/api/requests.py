"""A POST of the API: its Idempotency-Key, and its JSON body as one of the types of `bodies`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

import msgspec
from flask import Response, request
from msgspec import inspect
from werkzeug.exceptions import HTTPException, UnsupportedMediaType

from checkout.errors import ShopError
from checkout.web.api.bodies import Request
from checkout.web.context import current_context
from checkout.web.idempotency import KEY_LENGTH, fingerprint
from checkout.web.problems import Problem, as_response

Body = TypeVar("Body", bound=Request)

_KEY = re.compile(rf"[\x21-\x7e]{{1,{KEY_LENGTH}}}", re.ASCII)
_LARGEST_JSON = 16 * 1024
#: The two forms of msgspec's messages that can be about a body whose fields are all known.
_MISSING = re.compile(r"missing required field `(\w+)`")
_WRONG = re.compile(r" - at `\$\.(\w+)")


def once(body_type: type[Body], work: Callable[[Body], Response], *, secret: bool) -> Response:
    """Do `work` with the request's body, once for its Idempotency-Key.

    With `secret` the stored response is encrypted. Problem where key or body cannot be taken.
    """
    key = _idempotency_key()
    fields = _json_object(known=body_type.__struct_encode_fields__)
    canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"))

    def guarded() -> Response:
        try:
            return work(parse(body_type, fields))
        except (Problem, ShopError, HTTPException) as refusal:
            return as_response(refusal)

    mark = fingerprint(request.method, request.path, canonical)
    return current_context().responses.once("api", key, mark, guarded, secret=secret)


def parse(body_type: type[Body], fields: dict[str, Any]) -> Body:
    """`fields` as a body; Problem names the field that is missing or of another type."""
    try:
        return msgspec.convert(fields, body_type)
    except msgspec.ValidationError as error:
        missing, wrong = _MISSING.search(str(error)), _WRONG.search(str(error))
        if missing is not None:
            name, detail = missing[1], "it is missing"
        elif wrong is not None:
            name, detail = wrong[1], f"expected {_expectations(body_type)[wrong[1]]}"
        else:
            raise Problem(kind="body", detail="body: expected a JSON object.") from None
    kind = _problem_kinds(body_type).get(name, "field") if wrong is not None else "field"
    raise Problem(kind=kind, detail=f"{name}: {detail}", field=name) from None


@cache
def _expectations(body_type: type[Request]) -> dict[str, str]:
    """What each field takes, in words."""
    return {field.encode_name: _in_words(field.type) for field in _fields(body_type)}


@cache
def _problem_kinds(body_type: type[Request]) -> dict[str, str]:
    """The kind of problem that a wrong value of a field is, where it is not "field"."""
    found = {field.encode_name: _problem_kind(field.type) for field in _fields(body_type)}
    return {name: kind for name, kind in found.items() if kind is not None}


def _fields(body_type: type[Request]) -> tuple[inspect.Field, ...]:
    described = inspect.type_info(body_type)
    assert isinstance(described, inspect.StructType)
    return described.fields


def _in_words(of: inspect.Type) -> str:
    if isinstance(of, inspect.Metadata):
        return _in_words(of.type)
    if isinstance(of, inspect.UnionType):  # a value or null
        return _in_words(of.types[0])
    if isinstance(of, inspect.IntType):
        return "a whole number"
    if isinstance(of, inspect.BoolType):
        return "true or false"
    if isinstance(of, inspect.ListType):
        return "a list of texts"
    assert isinstance(of, inspect.StrType), of
    if of.max_length is None:
        return "a text"
    return f"a text of {of.min_length} to {of.max_length} characters"


def _problem_kind(of: inspect.Type) -> str | None:
    if isinstance(of, inspect.UnionType):
        return _problem_kind(of.types[0])
    return (of.extra or {}).get("problem") if isinstance(of, inspect.Metadata) else None


def _idempotency_key() -> str:
    key = request.headers.get("Idempotency-Key", "")
    if _KEY.fullmatch(key) is None:
        detail = (
            f"Idempotency-Key: expected 1 to {KEY_LENGTH} visible ASCII characters of your choice."
        )
        raise Problem(kind="idempotency-key", detail=detail, field="Idempotency-Key")
    return key


def _json_object(*, known: tuple[str, ...]) -> dict[str, Any]:
    """The request's JSON object, every field of it `known`; no body at all is an empty one."""
    request.max_content_length = _LARGEST_JSON
    raw = request.get_data()
    if not raw:
        return {}
    if not request.is_json:
        raise UnsupportedMediaType
    try:
        # Not msgspec's decoder, which takes the last of several values of one field.
        body = json.loads(raw, parse_constant=_no_constant, object_pairs_hook=_unique_names)
    except (ValueError, RecursionError):
        raise Problem(kind="body", detail="body: expected a JSON object.") from None
    if not isinstance(body, dict):
        raise Problem(kind="body", detail="body: expected a JSON object.")
    for name in body.keys() - set(known):
        expected = ", ".join(sorted(known)) or "no field"
        detail = f"{name[:64]}: no such field here, expected {expected}"
        raise Problem(kind="field", detail=detail, field=name[:64])
    return body


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A name that stands twice leaves open which value is meant (RFC 8259, section 4)."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for n, (name, _) in enumerate(pairs) if name in dict(pairs[:n]))
        raise Problem(kind="field", detail=f"{twice[:64]}: it stands twice", field=twice[:64])
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
