"""Where the files of a dataset lie, how they are split, and what is wrong with them."""

from calque.dataset.model import Case, Dataset

__all__ = ["Case", "Dataset"]
