"""What outlives a run: selection, caches, pictures, samples, the queue."""
