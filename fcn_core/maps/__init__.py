"""From a network's logits to maps: heatmaps of synsets, regions, findings."""
