"""Files in and out. Conventions are converted here, at the edge, and nowhere else."""

from calque.io.atomic import atomic_path, write_bytes_atomic, write_text_atomic
from calque.io.formats import FORMATS, MASK_FORMATS, format_of, mask_suffix, stem_of, suffix_of
from calque.io.frames import read_frames, write_frames
from calque.io.kept import keep_volumes
from calque.io.model import Format, Header, Volume
from calque.io.raster import write_png
from calque.io.reading import (
    label_values,
    read_header,
    read_image,
    read_labels,
    read_mask_volume,
    read_volume,
)
from calque.io.writing import write_image, write_labels

__all__ = [
    "FORMATS",
    "MASK_FORMATS",
    "Format",
    "Header",
    "Volume",
    "atomic_path",
    "format_of",
    "keep_volumes",
    "label_values",
    "mask_suffix",
    "read_frames",
    "read_header",
    "read_image",
    "read_labels",
    "read_mask_volume",
    "read_volume",
    "stem_of",
    "suffix_of",
    "write_bytes_atomic",
    "write_frames",
    "write_image",
    "write_labels",
    "write_png",
    "write_text_atomic",
]
