"""Whether the rows of the database and the bytes in the stores agree, and mending it if not."""
