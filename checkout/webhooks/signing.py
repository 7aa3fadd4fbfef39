"""Public path of `checkout.shop.webhooks.signing`."""

from checkout.shop.webhooks.signing import (
    ID as ID,
    KEEP_IDS_S as KEEP_IDS_S,
    SIGNATURE as SIGNATURE,
    TIMESTAMP as TIMESTAMP,
    TOLERANCE_S as TOLERANCE_S,
    SecretError as SecretError,
    TakenIds as TakenIds,
    Verified as Verified,
    WebhookRefused as WebhookRefused,
    new_secret as new_secret,
    sign as sign,
    verify as verify,
)
