"""Counts of right and wrong pixels, added up over images, and the scores made of them.

In: label arrays with their validity. Out: integer counts, scores by name.
May import core alone, and never torch; training, ensembling, output and workflows import it.
"""
