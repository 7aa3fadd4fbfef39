"""Signed webhooks: an outbox over the shop's events, delivered until it is taken.

`signing` and `receiver` need nothing of the rest and can be taken out alone.
"""
