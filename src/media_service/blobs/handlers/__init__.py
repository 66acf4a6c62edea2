"""Handlers for jobs on blobs."""
