"""Rendered scenes with exact labels, for the demo and the tests.

In: a folder, a count, a seed. Out: images, masks, run lengths. `synthetic.py` is the door. May import core alone.
"""
