"""Every refusal and failure over HTTP, as RFC 9457 problem details or as a page."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from math import ceil
from typing import Any

from flask import Flask, Response, jsonify, make_response, render_template, request
from sqlalchemy.exc import DBAPIError
from werkzeug.exceptions import HTTPException
from werkzeug.http import HTTP_STATUS_CODES

from checkout.database import one_line
from checkout.errors import ShopError

API_PREFIX = "/api/"
PROBLEM_TYPES = "/api/v1/problems/"
_LOG = logging.getLogger("checkout.web")

#: Kind of problem -> (HTTP status, title). Kinds are stable: programs may depend on them.
KINDS: dict[str, tuple[int, str]] = {
    "body": (400, "The request body cannot be read"),
    "idempotency-key": (400, "The Idempotency-Key header is missing or malformed"),
    "not-signed-in": (401, "This needs the operator's password or the merchant key"),
    "wrong-pin": (403, "The PIN is wrong"),
    "pin-tries-exceeded": (403, "The PIN has been wrong too often"),
    "pin-in-the-open": (403, "A PIN cannot be typed over an open connection"),
    "cross-site": (403, "The request came from another site's page"),
    "unknown-order": (404, "No such order"),
    "unknown-code": (404, "No such code"),
    "unknown-payment": (404, "No such payment"),
    "unknown-message": (404, "No such message"),
    "unknown-settlement": (404, "No such settlement"),
    "unknown-endpoint": (404, "No such webhook endpoint"),
    "unknown-delivery": (404, "No such webhook delivery"),
    "endpoint-exists": (409, "There is a webhook endpoint for this URL"),
    "endpoint-disabled": (409, "The webhook endpoint is disabled"),
    "too-many-endpoints": (409, "There are as many webhook endpoints as can be served"),
    "order-busy": (409, "The order is being paid right now"),
    "already-paid": (409, "The order has been paid"),
    "cancelled-order": (409, "The order was cancelled"),
    "expired-order": (410, "The order has run out"),
    "not-enrollable": (409, "The card cannot be enrolled"),
    "not-waiting": (409, "The payment does not wait for a PIN"),
    "not-emulated": (409, "The reader is not an emulated one"),
    "database": (500, "The database does not answer as it should"),
    "order-not-open": (409, "The order cannot be paid any more"),
    "not-refundable": (409, "The order cannot be refunded"),
    "not-capturable": (409, "The order cannot be captured"),
    "dispute": (409, "The dispute cannot take this step"),
    "request-under-way": (409, "The same request is being worked on"),
    "request-interrupted": (409, "An earlier try of this request ended without an answer"),
    "expired-code": (410, "The code has run out"),
    "used-code": (409, "The code has been used"),
    "wrong-host": (421, "This server does not answer under that name"),
    "amount": (422, "The amount cannot be taken"),
    "currency": (422, "The currency cannot be taken"),
    "reference": (422, "The reference cannot be taken"),
    "payer": (422, "No such payer"),
    "unknown-payer": (422, "No such payer"),
    "revoked-code": (410, "The code is out of use"),
    "label": (422, "The label cannot be taken"),
    "pin": (422, "The PIN cannot be taken"),
    "payer-code": (422, "That is no payer's code"),
    "used-payer-code": (409, "The payer's code has been used"),
    "expired-payer-code": (410, "The payer's code has run out"),
    "not-presented": (409, "The order is not being paid by a payer's code"),
    "too-soon": (409, "The phone is given more time than that"),
    "field": (422, "A field of the request cannot be taken"),
    "date": (422, "The date cannot be read"),
    "url": (422, "The URL cannot be taken"),
    "events": (422, "The event types cannot be taken"),
    "key-reused": (422, "The Idempotency-Key was used with another request"),
    "too-many-tries": (429, "Too many tries"),
    "busy": (503, "Too much is being done at once"),
    "clearing-unavailable": (503, "The clearing backend cannot be reached"),
    "outcome-unknown": (504, "The outcome is unknown; a reversal is under way"),
    "reader": (503, "The reader cannot do this now"),
}


class Problem(Exception):
    """A refusal of the pages or the API; `kind` is one of `KINDS`."""

    def __init__(
        self,
        *,
        kind: str,
        detail: str,
        field: str | None = None,
        retry_after_s: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.field = field
        self.retry_after_s = retry_after_s
        self.headers = dict(headers or {})

    @property
    def status(self) -> int:
        """The HTTP status."""
        return KINDS.get(self.kind, (400, ""))[0]

    @property
    def title(self) -> str:
        """The short summary, the same for every problem of one kind."""
        return KINDS.get(self.kind, (400, "The request cannot be taken"))[1]


def install(app: Flask) -> None:
    """Answer every failure of `app` as problem details under `/api`, else as a page."""
    app.register_error_handler(Problem, _from_problem)
    app.register_error_handler(ShopError, _from_shop_error)
    app.register_error_handler(HTTPException, _from_http)
    app.register_error_handler(Exception, _from_fault)


def as_response(refusal: Problem | ShopError | HTTPException) -> Response:
    """The response to a refusal, for a handler that has to store it."""
    if isinstance(refusal, Problem):
        return _from_problem(refusal)
    return _from_shop_error(refusal) if isinstance(refusal, ShopError) else _from_http(refusal)


def retry_after(wait_s: float) -> str:
    """The Retry-After header for a wait: whole seconds, rounded up (RFC 9110, "Retry-After")."""
    return str(max(1, ceil(wait_s)))


def wants_json() -> bool:
    """Whether the request is for the API."""
    return request.path.startswith(API_PREFIX)


def _from_problem(problem: Problem) -> Response:
    headers = dict(problem.headers)
    if problem.retry_after_s is not None:
        headers["Retry-After"] = retry_after(problem.retry_after_s)
    return answer(
        status=problem.status,
        kind=problem.kind,
        title=problem.title,
        detail=problem.detail,
        field=problem.field,
        headers=headers,
    )


def _from_shop_error(error: ShopError) -> Response:
    return _from_problem(Problem(kind=error.kind, detail=str(error), field=error.field))


def _from_http(error: HTTPException) -> Response:
    code = error.code or 500
    if error.response is not None or code < 400:
        return make_response(error.get_response())
    title = HTTP_STATUS_CODES.get(code, "Error")
    wanted = ("Allow", "Retry-After")
    headers = {name: value for name, value in error.get_headers() if name in wanted}
    detail = _HTTP_DETAILS.get(code, title)
    return answer(status=code, kind=None, title=title, detail=detail, headers=headers)


def _from_fault(error: Exception) -> Response:
    # Only the path is logged: a form's body may hold a PIN.
    if isinstance(error, DBAPIError):
        cause = one_line(error)
        _LOG.error("%s %s: %s", request.method, request.path, cause)
        return answer(
            status=503,
            kind="database",
            title="Database unavailable",
            detail=f"Nothing was booked; try again. ({cause})",
            headers={"Retry-After": "5"},
        )
    _LOG.error("%s %s failed", request.method, request.path, exc_info=error)
    return answer(
        status=500,
        kind=None,
        title="Internal Server Error",
        detail="Something failed inside the checkout; its log says what.",
    )


_HTTP_DETAILS = {
    400: "The request cannot be read.",
    404: "There is nothing at this address.",
    405: "This address does not take that method.",
    413: "The request is larger than is taken here.",
    415: "The request body is of a type that is not taken here.",
}


def answer(
    *,
    status: int,
    kind: str | None,
    title: str,
    detail: str,
    field: str | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    """One problem as `application/problem+json` under `/api`, else as a page."""
    if wants_json():
        body: dict[str, Any] = {
            "type": PROBLEM_TYPES + kind if kind else "about:blank",
            "title": title,
            "status": status,
            "detail": detail,
        }
        if field:
            body["field"] = field
        response = jsonify(body)
        response.mimetype = "application/problem+json"
    else:
        response = make_response(render_template("problem.html", title=title, detail=detail))
    response.status_code = status
    response.headers["Cache-Control"] = "no-store"
    response.headers.extend(headers or {})
    return response
