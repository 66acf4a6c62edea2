"""Removes metadata from files without encoding them again."""
