"""Where labelled items come from: one file per layout, joined by key behind one protocol.

In: a source block of the recipe and the files it names. Out: a Source (base), opened by kind (open).
May import core and data.rasters; the rest of data, and rooms after it, import it.
"""
