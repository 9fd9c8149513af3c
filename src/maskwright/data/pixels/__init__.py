"""The only readers of pixels: formats by first bytes, sizes checked before decoding.

In: a path. Out: header, image and valid, mask or colours. `rasters.py` is the door. May import core alone.
"""
