"""Measurements: localisation metrics, Grad-CAM, proof of the conversion."""
