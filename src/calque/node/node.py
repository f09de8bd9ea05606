"""The node: receiver, worker and courier on one spool, until somebody stops it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from pydantic import Field

from calque.node.delivery import Courier
from calque.node.intake import Intake
from calque.node.limits import Limits, Patience
from calque.node.listening import Listening
from calque.node.queue import Queue
from calque.node.receiver import Receiver
from calque.node.rules import Rules
from calque.node.sending import Sender
from calque.node.spool import Spool
from calque.node.traffic import Traffic
from calque.node.web import WebReceiver
from calque.node.worker import Maker, Worker
from calque.value import Value

_TICK = 0.2


class NodeOptions(Value):
    """A node as data.

    Args:
        spool: its folder.
        listening: where and to whom.
        rules: what is done.
        limits: what is borne.
        patience: how long it waits.
    """

    spool: Path
    listening: Listening = Field(default_factory=Listening)
    rules: Rules
    limits: Limits = Field(default_factory=Limits)
    patience: Patience = Field(default_factory=Patience)


class Node:
    """A running node.

    Args:
        options: all of it as data.
        maker: predicts and writes results.
        tokens: by the name of their environment variable; see `calque.io.dicom.web.authorization`.
        say: gets one line per event; series are named by hashes.
    """

    def __init__(
        self,
        options: NodeOptions,
        maker: Maker,
        tokens: Mapping[str, str] | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._options, self._maker, self._tokens, self._say = options, maker, dict(tokens or {}), say
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Ask it to stop; safe from a signal handler."""
        self._stopping.set()

    def require_usable(self) -> None:
        """Look, before anything is made or bound, whether what it needs is there.

        Raises:
            InputError: DICOMweb has no token, or a destination lacks its token or a file of TLS.
        """
        web = self._options.listening.web
        if web is not None:
            web.require_guard(web.token_variable in self._tokens)
        self._options.listening.tls()
        self._sender().require_usable()

    def _sender(self) -> Sender:
        return Sender(self._options.rules.destinations, self._options.listening.aet, self._tokens)

    def run(self, ready: Callable[[int], None] = lambda _: None) -> None:
        """Serve until `stop`; `ready` is told the port.

        A prediction that does not end within `Patience.stop` is begun again at the next start, and so is what
        a crash cut off.

        Raises:
            InputError: the spool is another node's, an address cannot be bound, DICOMweb has no token, or a
                destination lacks what it needs.
        """
        self.require_usable()
        options, spool = self._options, Spool(self._options.spool)
        with spool.held(), closing(Queue(spool.queue)) as queue, plain_threads(self._say):
            self._recover(spool, queue)
            intake = Intake(spool, queue, options.limits, self._say)
            traffic = Traffic(options.limits)
            receiver = Receiver(options.listening, intake, traffic, options.patience, self._say)
            worker = Worker(spool, queue, options.rules, self._maker, options.patience, self._say)
            courier = Courier(spool, queue, self._sender(), options.patience, self._say)
            service = self._web(intake, traffic)
            loops: list[threading.Thread] = []
            try:
                port = receiver.start()
                if service is not None:
                    self._say(f"STOW-RS on {service.start()}")
                ready(port)
                loops = [self._loop(worker.step, "work"), self._loop(courier.step, "delivery")]
                self._stopping.wait()
            finally:
                self._stopping.set()
                receiver.stop()
                if service is not None:
                    service.stop()
                for loop in loops:
                    loop.join(options.patience.stop)

    def _web(self, intake: Intake, traffic: Traffic) -> WebReceiver | None:
        listening = self._options.listening
        if listening.web is None:
            return None
        token = self._tokens.get(listening.web.token_variable)
        return WebReceiver(listening, intake, traffic, self._options.patience, self._say, token)

    def _recover(self, spool: Spool, queue: Queue) -> None:
        swept, cut = spool.sweep(queue.files()), queue.recover()
        if swept or cut:
            self._say(f"after a stop: {cut} series are begun again, {swept} unfinished files were removed")

    def _loop(self, step: Callable[[], object], name: str) -> threading.Thread:
        """Call `step` again and again, at once while it finds work."""

        def run() -> None:
            while not self._stopping.is_set():
                try:
                    busy = step()
                except Exception as problem:  # a full disk, a locked queue: say so, wait, go on
                    self._say(f"{name}: {type(problem).__name__}")
                    busy = False
                    self._stopping.wait(5.0)
                if not busy:
                    self._stopping.wait(_TICK)

        thread = threading.Thread(target=run, name=f"calque-{name}", daemon=True)
        thread.start()
        return thread


@contextmanager
def plain_threads(say: Callable[[str], None]) -> Iterator[None]:
    """Say in a line what ends a thread, such as one of pynetdicom's whose peer broke off out of turn.

    A trace of the stack would go to the log otherwise, with whatever values its last line quotes.
    """
    before = threading.excepthook

    def told(problem: threading.ExceptHookArgs) -> None:
        say(f"an association ended out of turn: {problem.exc_type.__name__}")

    threading.excepthook = told
    try:
        yield
    finally:
        threading.excepthook = before
