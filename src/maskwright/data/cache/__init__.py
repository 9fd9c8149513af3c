"""Decoded items on disk, mapped into memory by all processes that read them.

In: a CacheSpec. Out: arrays that are read by window. `choice.py` decides whether it pays. May import core alone.
"""
