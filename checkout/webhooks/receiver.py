"""Public path of `checkout.shop.webhooks.receiver`."""

from checkout.shop.webhooks.receiver import (
    Received as Received,
    Receiver as Receiver,
    served as served,
)
