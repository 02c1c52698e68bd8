"""Synsets of WordNet above and below the 1000 ImageNet classes."""
