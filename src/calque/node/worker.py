"""What is done with a complete series: rules, prediction, results into the queue."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from calque.errors import CalqueError
from calque.node.limits import Patience
from calque.node.queue import Job, Queue, Result
from calque.node.rules import Rule, Rules, SeriesFacts
from calque.node.spool import Spool, series_key

_TIDY = 600.0


class Made(NamedTuple):
    """One object that was made of a series."""

    kind: str
    file: Path
    sop: str
    series: str


class Maker(Protocol):
    """Predicts and writes; `calque.node.making.DicomMaker` is the real one."""

    def facts(self, files: Sequence[Path]) -> SeriesFacts:
        """What rules look at."""
        ...

    def make(self, files: Sequence[Path], rule: Rule, folder: Path) -> tuple[Made, ...]:
        """Write a rule's outputs into `folder`; the same files give objects of the same UIDs."""
        ...


class Worker:
    """Works at one series after the other.

    Args:
        spool: holds files.
        queue: says what is to be done.
        rules: decide.
        maker: predicts and writes.
        patience: when a series is complete, and how long files stay.
        say: gets one line per event, without identifiers.
    """

    def __init__(
        self,
        spool: Spool,
        queue: Queue,
        rules: Rules,
        maker: Maker,
        patience: Patience,
        say: Callable[[str], None],
    ) -> None:
        self._spool, self._queue, self._rules, self._maker = spool, queue, rules, maker
        self._patience, self._say = patience, say
        self._tidied = -_TIDY

    def step(self) -> bool:
        """Do what is next; False if there was nothing to do."""
        for key in self._queue.complete(self._patience.quiet, self._patience.settle):
            self._say(f"series {key}: complete, {self._queue.size(key)[0]} instances")
        job = self._queue.take()
        if job is None:
            self._tidy()
            return False
        try:
            kept = self._process(job)
        except Exception as problem:  # whatever is wrong with a series, the next one is worked at
            self._say(f"series {job.key}: failed: {_without_details(problem)}")
            kept = self._queue.finish(job, "failed", f"{type(problem).__name__}: {problem}")
        if not kept:
            self._say(f"series {job.key}: it has grown while it was worked at; it will be done anew")
        return True

    def _process(self, job: Job) -> bool:
        if self._queue.ours(job.key):
            return self._queue.finish(job, "ignored", "this node made it")
        files = [self._spool.folder / file for file in job.files]
        rule = self._rules.decide(self._maker.facts(files))
        if rule is None:
            self._say(f"series {job.key}: no rule asks for it")
            return self._queue.finish(job, "ignored", "no rule asks for it")
        made = self._maker.make(files, rule, self._spool.result_folder(job.key, job.fingerprint))
        results = [
            Result(one.kind, name, one.sop, series_key(one.series), self._spool.relative(one.file))
            for one in made
            for name in (rule.send or ("",))
        ]
        kept = self._queue.finish(job, "done", "", results)
        if kept:
            self._say(
                f"series {job.key}: done, {len(made)} results, to {', '.join(rule.send) or 'the spool'}"
            )
        return kept

    def _tidy(self) -> None:
        """Now and then, remove files that nobody will ask for any more."""
        if time.monotonic() - self._tidied < _TIDY:
            return
        self._tidied = time.monotonic()
        for key in self._queue.expire(self._patience.keep):
            self._spool.drop(key)


def _without_details(problem: Exception) -> str:
    """What happened; what was found may hold patient data and is in the queue alone."""
    return problem.what if isinstance(problem, CalqueError) else type(problem).__name__
