"""Guess layout, task and classes of a set from its files, for `init` and for `inspect` without a recipe.

In: a folder, or images and labels. Out: a Guess, every part of it said in words. `guess.py` is the door.
May import core, sources and the readers of pixels; workflows import it.
"""
