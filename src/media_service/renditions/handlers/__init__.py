"""Handlers of jobs on media."""
