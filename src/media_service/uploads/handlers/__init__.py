"""Handlers of jobs on uploads."""
