"""Full-text search, and counts of media by what they have in common."""
