"""From a recipe's model block to a network that turns images into logits of the same size.

In: a `Model` block, band and plane counts, weight files. Out: `SegModel`, safetensors files.
Imports core alone. training and inference may import it; it knows neither data nor accelerate.
"""
