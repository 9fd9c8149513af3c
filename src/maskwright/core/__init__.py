"""The words everybody uses: recipe, labels, grid, run lengths, run folder, errors.

In: YAML text, numpy arrays, paths. Out: frozen recipe blocks, pure functions, atomic files.
Every room may import core; core imports no room, and neither torch nor rasterio nor cv2.
"""
