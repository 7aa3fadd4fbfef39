"""Signed webhooks: an outbox over the shop's events, delivered until the receiver has each.

`signing` and `receiver` need nothing else of the shop and can be taken out alone.
"""
