"""Handlers of jobs on blobs."""
