"""Pictures of codes: QR symbols, barcodes, stickers and sheets of them."""
