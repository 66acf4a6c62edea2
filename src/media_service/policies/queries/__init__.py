"""SQL of policies and blocklists."""
