"""Polygons on the ground: read from GeoJSON, GPKG and FlatGeobuf, and laid on the pixels of a raster.

In: a path. Out: Features, and Outlines on a grid. `read.py` is the door. May import core, ground and findings.
"""
