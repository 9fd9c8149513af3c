"""One parallel pass over a set, and everything that is wrong or odd with it: faults, suspicions, notes, statistics.

In: joined sources. Out: Audit (audit.json) and Fingerprint, which later stages go by. `audit.py` is the door.
May import core, sources, leaks and plausible; folds, datasets and rooms after data import it.
"""
