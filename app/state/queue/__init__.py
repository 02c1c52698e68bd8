"""The queue of jobs: one pass at a time, in turns."""
