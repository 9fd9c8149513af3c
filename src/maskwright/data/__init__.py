"""Files become arrays: found, joined by key, audited, split, cut into windows, augmented.

In: recipe blocks and the files they name, none of which is trusted. Out: sources, fingerprints, folds, samples.
May import core alone, and torch in dataset.py alone; never scoring or models import it, rooms after them do.
"""
