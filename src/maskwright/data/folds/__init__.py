"""Split items into folds so that what is alike never straddles two of them.

In: a Fingerprint and the recipe's block. Out: one FoldRow for each item. `folds.py` is the door.
May import core, the fingerprint and sources; ensembling may import it.
"""
