"""SQL of batches: of the media that they change, and of those that are jobs."""
