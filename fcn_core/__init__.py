"""Where an ImageNet network sees a synset: fully convolutional heatmaps."""
