"""The queue of jobs: one pass of the network at a time, shared fairly between sessions."""
