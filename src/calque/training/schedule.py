"""How the learning rate moves."""

from __future__ import annotations

from calque.planning import Schedule


def rate_factor(progress: float, schedule: Schedule) -> float:
    """Warm-up, stable, decay (1 - sqrt, Hägele et al., NeurIPS 2024), as a factor of the full rate.

    Args:
        progress: share of the budget that is spent, 0 to 1.
        schedule: the shares of warm-up and decay.
    """
    if progress < schedule.warmup:
        return min(1.0, max(progress, 1e-3) / schedule.warmup)  # the first step moves a little, too
    left = 1.0 - progress
    if schedule.decay > 0 and left < schedule.decay:
        return float(1.0 - (1.0 - max(left, 0.0) / schedule.decay) ** 0.5)
    return 1.0


def ema_decay(schedule: Schedule, step: int) -> float:
    """Decay of the moving average of weights: short at first, so that it forgets the random start."""
    return min(schedule.ema, (1 + step) / (10 + step))
