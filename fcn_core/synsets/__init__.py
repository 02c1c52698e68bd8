"""The hierarchy of WordNet synsets above the 1000 ImageNet classes, and search in it."""
