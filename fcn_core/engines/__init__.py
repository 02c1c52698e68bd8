"""Engines run a converted network on a picture; exported graphs, tiling and the memory a pass needs."""
