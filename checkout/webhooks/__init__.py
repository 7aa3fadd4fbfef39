"""Public paths of what a merchant verifies webhooks with; the code: `checkout.shop.webhooks`."""
