"""What an audit can find: every kind of fault, suspicion and note in one table, and one finding of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from maskwright.core.errors import DataError, InputError, StorageError, one_line

Severity = Literal["fault", "suspicion", "note"]


class Kind(NamedTuple):
    """One thing that can be wrong with a set."""

    severity: Severity
    """fault: the set is refused; suspicion: said loudly before training; note: worth knowing."""
    says: str
    """What it is, in a few words, for headings and docs."""


@dataclass(frozen=True)
class Finding:
    """One thing found in a set.

    Args:
        kind: a key of KINDS.
        where: file or recipe key, optionally with `:line`.
        what: what is wrong and what we got.
        fix: what the user can do, in the imperative.
        keys: items concerned, if any.
        facts: numbers and proposals for audit.json, as JSON can hold them.
    """

    kind: str
    where: str
    what: str
    fix: str = ""
    keys: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        assert self.kind in KINDS, self.kind

    @property
    def severity(self) -> Severity:
        """How bad it is."""
        return KINDS[self.kind].severity

    def __str__(self) -> str:
        """Return the line a user reads."""
        text = f"{self.where}: {self.what}" if self.where else self.what
        return one_line(f"{text}; {self.fix}" if self.fix else text)

    def to_plain(self) -> dict[str, Any]:
        """Return plain data for audit.json."""
        return {
            "kind": self.kind,
            "severity": self.severity,
            "where": self.where,
            "what": self.what,
            "fix": self.fix,
            "keys": list(self.keys),
            "facts": dict(self.facts),
        }

    @classmethod
    def of(cls, error: InputError | StorageError, kind: str, keys: tuple[str, ...] = ()) -> Finding:
        """Make a finding of a caught error: of the kind it names itself, else of the given one."""
        where = str(Path(error.where)) if error.where else ""
        if isinstance(error, StorageError):
            return cls("forbidden_file", where, error.what, error.fix, keys)
        return cls(error.kind or kind, where, error.what, error.fix, keys, error.facts)


def some(keys: Sequence[str], most: int = 6) -> str:
    """Name the first keys of a list."""
    listed = ", ".join(f"'{key}'" for key in keys[:most])
    return f"{listed} and {len(keys) - most} more" if len(keys) > most else listed


def faults_of(findings: Sequence[Finding]) -> list[Finding]:
    """Return those that refuse a set."""
    return [finding for finding in findings if finding.severity == "fault"]


def refuse(findings: Sequence[Finding]) -> None:
    """Raise DataError with all faults, if there are any."""
    faults = faults_of(findings)
    if faults:
        raise DataError(list(dict.fromkeys(str(fault) for fault in faults)))


KINDS: dict[str, Kind] = {
    "no_folder": Kind("fault", "a folder or file that the recipe names is absent"),
    "no_images": Kind("fault", "no images"),
    "missing_label": Kind("fault", "an image without a label"),
    "orphan_label": Kind("fault", "a label without an image"),
    "key_twice": Kind("fault", "two files have one key"),
    "key_case": Kind("fault", "keys that differ in case alone"),
    "forbidden_file": Kind("fault", "a file or folder that may not be read, or that the disk does not give"),
    "bad_link": Kind("fault", "a link that leads nowhere, out of the data folder or to a folder"),
    "odd_name": Kind("fault", "a name that leaves the folder, is no text or cannot be a key"),
    "no_labels": Kind("fault", "training items without any label"),
    "nothing_joins": Kind("fault", "no label has the key of an image"),
    "empty_file": Kind("fault", "a file of 0 bytes"),
    "damaged_file": Kind("fault", "a file that is damaged or cut off"),
    "no_place": Kind("fault", "a scene or label without a place on the ground that can be used"),
    "labels_elsewhere": Kind("fault", "polygons or label rasters that lie on none of their scenes"),
    "no_polygons": Kind("fault", "a vector file without a polygon"),
    "too_large": Kind("fault", "more pixels than data.max_pixels allows, e.g. an image bomb"),
    "foreign_format": Kind("fault", "a file of another format than its name says or we read"),
    "virtual_raster": Kind("fault", "a GDAL VRT, which may point anywhere"),
    "animation": Kind("fault", "several frames in one file"),
    "odd_colours": Kind("fault", "a colour mode that is neither grey, palette nor RGB"),
    "odd_bands": Kind("fault", "a TIFF whose bands or blocks cannot be read safely"),
    "bad_label_file": Kind("fault", "a label file is damaged or not of its format"),
    "bad_annotation": Kind("fault", "an annotation that cannot be drawn"),
    "label_shared": Kind("suspicion", "one mask is named for two images"),
    "bad_row": Kind("fault", "a row of a table that has too few or too many cells"),
    "no_column": Kind("fault", "a table lacks a column, or has it twice"),
    "row_twice": Kind("fault", "a second row for one image, or one class of it"),
    "bad_runs": Kind("fault", "run lengths that are malformed or leave the image"),
    "class_overlap": Kind("fault", "pixels in two classes of a multiclass task"),
    "unknown_class": Kind("fault", "labels of a class that the task does not have"),
    "id_twice": Kind("fault", "an id that occurs twice"),
    "category_twice": Kind("suspicion", "two categories of one name, both used"),
    "annotation_twice": Kind("suspicion", "annotations or their ids that occur twice"),
    "outside_image": Kind("suspicion", "outlines reach out of their images"),
    "other_image_named": Kind("suspicion", "a label file names another image than the one it is joined to"),
    "box_differs": Kind("suspicion", "bounding boxes do not fit their outlines"),
    "unreadable_image": Kind("fault", "an image cannot be read"),
    "unreadable_label": Kind("fault", "a label cannot be read"),
    "jpeg_mask": Kind("fault", "a mask saved as JPEG, whose values are blurred"),
    "no_probabilities": Kind("fault", "a mask of probabilities that holds something else"),
    "colour_mask": Kind("fault", "a mask with several channels"),
    "fraction_mask": Kind("fault", "a mask of fractions"),
    "size_mismatch": Kind("fault", "image and label differ in size"),
    "size_transposed": Kind("fault", "image and label differ in size: height and width are swapped"),
    "size_scaled": Kind("fault", "image and label differ in size: one is the other at another scale"),
    "undeclared_colour": Kind("fault", "mask colours that no class has"),
    "undeclared_instance": Kind("fault", "object numbers below 0"),
    "undeclared_value": Kind("fault", "label values outside the task"),
    "foreground_value": Kind("fault", "foreground stored as another value than 1"),
    "labels_off_by_one": Kind("fault", "classes counted from 1 instead of 0"),
    "extra_class": Kind("fault", "one class more than the task names"),
    "ignore_undeclared": Kind("fault", "a value that marks pixels to ignore and is not declared"),
    "ignore_elsewhere": Kind("fault", "another value than the declared one marks pixels to ignore"),
    "spread_values": Kind("fault", "classes stored as other numbers"),
    "stray_value": Kind("fault", "slips: undeclared values on a few pixels"),
    "soft_mask": Kind("fault", "masks with shades between their values"),
    "instance_map": Kind("fault", "masks that count objects instead of naming classes"),
    "swapped_folders": Kind("fault", "images and masks in each other's place"),
    "bands_differ": Kind("fault", "images differ in bands"),
    "band_names_differ": Kind("fault", "images that call their bands otherwise than the recipe"),
    "dtype_differs": Kind("fault", "images differ in dtype"),
    "band_absent": Kind("fault", "data.bands names a band that an image lacks"),
    "bands_unfit": Kind("fault", "settings of the recipe do not fit the number of bands"),
    "test_dtype": Kind("fault", "test images have another dtype than training images"),
    "test_bands": Kind("fault", "test images have other bands than training images"),
    "folds_unfit": Kind("fault", "folds that the recipe asks for and the items do not allow"),
    "duplicate_conflict": Kind("suspicion", "equal images with different labels"),
    "test_in_train": Kind("suspicion", "test images that are training images too"),
    "image_is_label": Kind("suspicion", "images that are their own labels"),
    "images_like_masks": Kind("suspicion", "images of a few values, as masks have"),
    "background_absent": Kind("suspicion", "background never occurs"),
    "class_absent": Kind("suspicion", "a class never occurs"),
    "no_foreground": Kind("suspicion", "labels of nothing but background"),
    "mostly_empty": Kind("suspicion", "nearly all labels are empty"),
    "constant_labels": Kind("suspicion", "labels of one class each"),
    "identical_labels": Kind("suspicion", "different images with one and the same label"),
    "planes_equal": Kind("suspicion", "two classes that seem to be copies"),
    "inverted": Kind("suspicion", "foreground and background may be swapped"),
    "ignore_as_class": Kind("suspicion", "a class of thin lines where ignore never occurs"),
    "mostly_ignored": Kind("suspicion", "labels that ignore most pixels"),
    "void_items": Kind("suspicion", "items without a pixel that counts"),
    "speckled_labels": Kind("suspicion", "objects of a few pixels, as smoothing and tracing leave"),
    "blank_labelled": Kind("suspicion", "objects in the label of a blank image"),
    "all_blank": Kind("suspicion", "every image is blank"),
    "mostly_hidden": Kind("suspicion", "most pixels are hidden by alpha or nodata"),
    "nodata_undeclared": Kind("suspicion", "a value that means no data and is not declared"),
    "alpha_is_data": Kind("suspicion", "an alpha band that holds data"),
    "palettes_differ": Kind("suspicion", "palette masks whose colours are in another order"),
    "scale_differs": Kind("suspicion", "images of another scale of values"),
    "divide_unfit": Kind("suspicion", "values that data.divide does not fit"),
    "void_scene": Kind("suspicion", "scenes without a valid pixel"),
    "labels_apart": Kind("suspicion", "scenes that lie outside of all polygons"),
    "flat_features": Kind("suspicion", "points and lines where polygons are wanted; they are passed over"),
    "tiny_images": Kind("suspicion", "images too small to learn from"),
    "extreme_aspect": Kind("suspicion", "images far longer than wide"),
    "test_near_train": Kind("suspicion", "test images that show what training images show"),
    "test_on_train": Kind("suspicion", "test items on ground that is trained on"),
    "exact_duplicate": Kind("note", "images whose pixels are equal"),
    "near_duplicate": Kind("note", "images that show the same: recompressed, mirrored, cropped, overlapping"),
    "scenes_overlap": Kind("note", "scenes that lie on the same ground"),
    "class_rare": Kind("note", "a class on few pixels or in few images"),
    "class_unseen": Kind("note", "a class that does not occur in a part of the data"),
    "class_dominates": Kind("note", "one class covers nearly everything"),
    "empty_labels": Kind("note", "labels without foreground"),
    "full_labels": Kind("note", "labels of nothing but foreground"),
    "ignore_unused": Kind("note", "the ignored value never occurs"),
    "tiny_objects": Kind("note", "objects smaller than 3 x 3 pixels"),
    "hidden_pixels": Kind("note", "pixels hidden by alpha or nodata"),
    "exif_orientation": Kind("note", "images with an EXIF orientation"),
    "blank_images": Kind("note", "images of one colour"),
    "grey_beside_colour": Kind("note", "grey images beside colour ones"),
    "grey_as_colour": Kind("note", "grey images stored in three bands"),
    "constant_band": Kind("note", "a band of one value"),
    "formats_differ": Kind("note", "image files of several formats"),
    "range_unused": Kind("note", "values that use a small part of their range"),
    "size_outlier": Kind("note", "images far larger or smaller than most"),
    "sizes_differ": Kind("note", "images of several sizes"),
    "aspects_differ": Kind("note", "images of several proportions"),
    "mask_geometry": Kind("suspicion", "masks fit their images better mirrored, turned, moved or resized"),
    "run_order": Kind("suspicion", "run lengths fit the images better in the other order"),
    "run_base": Kind("suspicion", "masks are one pixel off along their rows or columns"),
    "mask_of_another": Kind("suspicion", "images fit the mask of a neighbour in the list better than their own"),
    "masks_unrelated": Kind("suspicion", "masks fit their images no better than other items' masks do"),
    "classes_swapped": Kind("suspicion", "two classes look exchanged in some items or in one of two sets"),
    "class_names": Kind("suspicion", "classes do not look like their names"),
    "channels_swapped": Kind("suspicion", "red and blue are exchanged in some images or in one of two sets"),
    "inverted_items": Kind("suspicion", "foreground and background look exchanged in some items"),
    "classes_shifted": Kind("suspicion", "label values look shifted against task.classes"),
    "planes_disjoint": Kind("suspicion", "planes of a multilabel task never overlap and cover everything"),
    "channel_order": Kind("suspicion", "band order and normalisation contradict each other"),
    "ignore_doubtful": Kind("suspicion", "a value that mostly means ignore is a class"),
    "kind_doubtful": Kind("note", "another task kind says the same more simply"),
    "test_shift": Kind("note", "test images differ from training images"),
}
"""Kind -> severity and words. In the order in which they are told."""
