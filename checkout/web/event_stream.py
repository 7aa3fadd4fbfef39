"""The events of orders as server-sent events (WHATWG HTML, "Server-sent events")."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator

from flask import Response, request

from checkout.shop.orders.events import Event, Subscription
from checkout.web.context import current_shop
from checkout.web.problems import Problem

RETRY_MS = 1000


def event_stream(order_id: str | None) -> Response:
    """The events of one order, or of all, resumed after `Last-Event-ID`.

    It begins with a `snapshot` of the order, so that a late connection misses nothing.
    """
    shop = current_shop()
    order = None if order_id is None else shop.orders.get(order_id)
    subscription = shop.feed.subscribe(order_id, after=_last_event_id())
    first = [f"retry: {RETRY_MS}\n\n"]
    if order is not None:
        # Read it again: a change between the first look and the subscription must not be lost.
        first.append(_message("snapshot", shop.orders.get(order.id).as_json()))
    first.append(_message("reader-state", shop.reader.status().as_json()))
    response = Response(_lines(first, subscription), mimetype="text/event-stream")
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"
    response.call_on_close(subscription.close)
    return response


def _lines(first: list[str], subscription: Subscription) -> Iterator[str]:
    try:
        yield "".join(first)
        for event in subscription:
            yield ": still here\n\n" if event is None else _of_event(event)
    finally:
        with contextlib.suppress(RuntimeError):  # the interpreter may be on its way out
            subscription.close()


def _of_event(event: Event) -> str:
    payload = {
        **event.payload,
        "order_id": event.order_id,
        "at": event.at.isoformat(timespec="milliseconds"),
    }
    return _message(event.kind, payload, n=event.n)


def _message(kind: str, payload: dict[str, object], *, n: int | None = None) -> str:
    number = "" if n is None else f"id: {n}\n"
    return f"{number}event: {kind}\ndata: {json.dumps(payload, separators=(',', ':'))}\n\n"


def _last_event_id() -> int | None:
    # A page's first connection sends `after`; a browser that reconnects sends the header.
    text = request.headers.get("Last-Event-ID") or request.args.get("after") or ""
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        detail = "Last-Event-ID: expected the number of an event."
        raise Problem(kind="body", detail=detail, field="Last-Event-ID")
    return int(text)
