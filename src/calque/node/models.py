"""Models that are ready: loaded once, the least recently used one dropped."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from calque.model import Model
    from calque.prediction import PredictOptions, Predictor


class Warm:
    """At most `most` models with their predictors; for one thread.

    Args:
        options: of every prediction.
        most: how many are kept.
    """

    def __init__(self, options: PredictOptions, most: int = 2) -> None:
        self._options, self._most = options, most
        self._ready: OrderedDict[tuple[Path, int], tuple[Model, Predictor]] = OrderedDict()

    def get(self, path: Path) -> tuple[Model, Predictor]:
        """The model of a file, read again when the file has changed.

        Raises:
            ReadError: there is no such file.
            ModelError: it is damaged.
        """
        from calque.errors import ReadError
        from calque.model import Model

        try:
            key = (path, path.stat().st_mtime_ns)
        except OSError as problem:
            raise ReadError("The model cannot be read", where=path, got=problem) from None
        if key not in self._ready:
            while len(self._ready) >= self._most:  # before the next one is loaded: memory is for one more
                self._ready.popitem(last=False)
            model = Model.load(path)
            self._ready[key] = (model, model.predictor(self._options))
        self._ready.move_to_end(key)
        return self._ready[key]
