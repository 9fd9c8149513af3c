"""One recipe takes labelled imagery to a tuned, explained ensemble of segmentation models."""

__version__ = "0.1.0"
