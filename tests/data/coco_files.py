"""COCO files of a few small images, for the tests of the source."""

import json
from pathlib import Path

from data_helpers import picture, save

from maskwright.core.recipe.sources import CocoSource

SIZE = (12, 16)
CATEGORIES = [{"id": 1, "name": "road"}, {"id": 7, "name": "car"}]


def box(left: float, top: float, width: float, height: float) -> list[float]:
    """Return the polygon of a box, corner by corner."""
    right, bottom = left + width, top + height
    return [left, top, right, top, right, bottom, left, bottom]


def note(number: int, category: int, segmentation: object, image: int = 1, **more: object) -> dict[str, object]:
    """Return an annotation."""
    return {"id": number, "image_id": image, "category_id": category, "segmentation": segmentation, **more}


def images(names: str = "ab") -> list[dict[str, object]]:
    """Return the entries of images a.png, b.png ..."""
    return [
        {"id": place + 1, "file_name": f"{name}.png", "height": SIZE[0], "width": SIZE[1]}
        for place, name in enumerate(names)
    ]


def coco_set(
    root: Path, annotations: object, listed: object = None, known: object = CATEGORIES, **options: object
) -> CocoSource:
    """Write images and a COCO file of those entries and categories below a folder; the block gets the options."""
    listed = images() if listed is None else listed
    for place, entry in enumerate(listed):
        name = entry.get("file_name") if isinstance(entry, dict) else None
        if isinstance(name, str) and name.endswith(".png") and not set(name) & set("/\\\0"):
            save(root / "images" / name, picture(place))
    (root / "images").mkdir(exist_ok=True, parents=True)
    file = {"images": listed, "annotations": annotations, "categories": known}
    (root / "coco.json").write_text(json.dumps(file), encoding="utf-8")
    return CocoSource(**{"images": "images", "annotations": "coco.json", **options})
