"""Generated scans with known truth: for tests, for demonstrations, and where no real data may travel."""

from calque.phantoms.ct import ct_abdomen
from calque.phantoms.dataset import KINDS, Kind, choose_kind, write_phantoms
from calque.phantoms.mr import mr_brain
from calque.phantoms.picture import picture_2d

__all__ = ["KINDS", "Kind", "choose_kind", "ct_abdomen", "mr_brain", "picture_2d", "write_phantoms"]
