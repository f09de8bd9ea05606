"""How datasets lie on disk: a folder, or a manifest, as a `Dataset`."""

from calque.dataset.layouts.recognise import open_dataset

__all__ = ["open_dataset"]
