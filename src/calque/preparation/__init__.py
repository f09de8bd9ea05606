"""From images as they are to arrays as networks see them, and where these are kept."""

from calque.preparation.case import nonzero_box, prepare_image, prepare_labels
from calque.preparation.model import Placement, Prepared, PreparedCase

__all__ = ["Placement", "Prepared", "PreparedCase", "nonzero_box", "prepare_image", "prepare_labels"]
