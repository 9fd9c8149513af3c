"""Augmentations by topic; table.py holds the one table of their names and applies them.

An image comes as it is in the file if that is 8 bit, else as float32 already divided, with any number
of bands. What geometry brings in from outside mirrors the image, and there valid is False and the
label 0. Light and noise are measured in each band's own mean and deviation, so they suit reflectances
and elevations as they suit photographs.
"""
