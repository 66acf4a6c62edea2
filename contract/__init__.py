"""Tools of the contract: what is written and checked from the descriptors in `generated/`."""
