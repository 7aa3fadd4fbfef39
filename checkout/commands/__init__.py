"""One module per command, with its `Options` and `run(options) -> exit status`."""
