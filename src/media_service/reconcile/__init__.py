"""Finds and repairs differences between the rows of the database and the bytes in the stores."""
