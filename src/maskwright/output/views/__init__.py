"""A run as a data set for other tools to look at: FiftyOne and COCO (CVAT); item.py is what both are made from."""
