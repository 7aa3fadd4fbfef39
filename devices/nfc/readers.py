def unsupported_model(vendor: int, product: int) -> str | None:
    return None
