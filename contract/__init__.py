"""Tools that generate and check files from the contract's descriptors in `generated/`."""
