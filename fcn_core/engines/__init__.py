"""Engines run a converted network on a picture; exported graphs, bands, and the memory that a pass needs."""
