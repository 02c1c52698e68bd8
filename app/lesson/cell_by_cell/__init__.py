"""The figure to play with: from a picture over feature maps and logits to a probability, cell by cell."""
