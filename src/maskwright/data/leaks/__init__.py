"""Find images that show the same thing: copies, mirrored or turned, crops and overlapping tiles.

In: a small picture of each item. Out: pairs, each proven on pixels. `similar.py` is the door.
May import core; the audit imports it.
"""
