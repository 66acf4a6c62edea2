"""Handlers for jobs on uploads."""
