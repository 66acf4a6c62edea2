"""Handlers for jobs on media."""
