"""From a network's logits to heatmaps, fine maps, masks, boxes and findings."""
