"""Weights and an image become probabilities on disk, at the image's own size.

In: trained models and items. Out: one quantised file for each item (store).
May import core, data and models, never training or accelerate; tiles and store stay free of torch.
"""
