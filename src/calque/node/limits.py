"""What the node bears, and how long it waits: figures as data."""

from __future__ import annotations

from pydantic import Field, PositiveFloat, PositiveInt

from calque.value import Value

MEBIBYTE = 2**20


class Limits(Value):
    """Bounds on what peers may send.

    Args:
        instance_bytes: of one instance; a bigger one is refused (A700), one twice as big is cut off while it
            arrives.
        arriving_bytes: of all instances that are arriving at one moment: what is held in memory.
        series_instances: of one series.
        series_bytes: of one series.
        associations: at one moment; a further one is rejected as "local limit exceeded".
        free_bytes: that must stay free on the spool's disk.
        pdu_bytes: the largest protocol data unit that is accepted.
    """

    instance_bytes: PositiveInt = 1024 * MEBIBYTE
    arriving_bytes: PositiveInt = 2048 * MEBIBYTE
    series_instances: PositiveInt = 20_000
    series_bytes: PositiveInt = 20_480 * MEBIBYTE
    associations: PositiveInt = 16
    free_bytes: int = Field(default=1024 * MEBIBYTE, ge=0)
    pdu_bytes: int = Field(default=256 * 1024, ge=4096, le=16 * MEBIBYTE)


class Patience(Value):
    """Seconds.

    Args:
        quiet: without a new instance, after which a series is complete whatever the sender does.
        settle: without a new instance, after which a series is complete if every association that brought
            something of it was released.
        network: of silence in an association, after which it is closed.
        first_retry: before a delivery that failed is tried again; doubles each time.
        longest_retry: the most that this grows to.
        give_up: after which a delivery is failed for good.
        stop: for a prediction to end when the node is stopped.
        keep: how long a series' files stay after all its results were delivered.
    """

    quiet: PositiveFloat = 60.0
    settle: PositiveFloat = 10.0
    network: PositiveFloat = 60.0
    first_retry: PositiveFloat = 2.0
    longest_retry: PositiveFloat = 900.0
    give_up: PositiveFloat = 7 * 86400.0
    stop: PositiveFloat = 20.0
    keep: PositiveFloat = 7 * 86400.0

    def retry_after(self, attempts: int) -> float:
        """Seconds to wait after the `attempts`-th failure (from 1)."""
        return float(min(self.longest_retry, self.first_retry * 2.0 ** min(attempts - 1, 30)))
