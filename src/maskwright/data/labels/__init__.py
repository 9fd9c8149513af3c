"""From how a label is written to classes: colours, instance maps, polygons, COCO run lengths.

In: arrays or numbers of a file. Out: masks. One topic a file. May import core alone; sources import it.
"""
