"""What outlives a run: session, selection, caches, pictures, samples, the queue."""
