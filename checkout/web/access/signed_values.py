"""Values that travel through the visitor's browser and come back unchanged, or not at all."""

from __future__ import annotations

from typing import Any

from itsdangerous import BadSignature, URLSafeSerializer

from checkout.web.context import current_context


def sign(purpose: str, value: Any) -> str:
    """The JSON value `value` signed for one `purpose`, fit for a URL or a form field."""
    return str(_serializer(purpose).dumps(value))


def verify(purpose: str, signed: str) -> Any:
    """The value that `sign` signed for `purpose`; None where this shop did not sign it."""
    try:
        return _serializer(purpose).loads(signed)
    except BadSignature:
        return None


def _serializer(purpose: str) -> URLSafeSerializer:
    return URLSafeSerializer(current_context().guard.credentials.signing_key, salt=purpose)
