"""Training a network that somebody wrote, in place of the planned one."""

from __future__ import annotations

from torch import nn

from calque.errors import PlanError
from calque.nets.others import Maker, give_network
from calque.planning import Plan
from calque.planning.probe import require_patch


def with_network(plan: Plan, network: nn.Module | Maker) -> Plan:
    """The plan with this network, tried on two random patches, as it trains and as it predicts.

    Args:
        plan: whose patch, batch, precision and stages stay.
        network: a module, or a function that makes one from a `NetworkConfig`.

    Raises:
        PlanError: it is no module, its weights are not what training needs, or it answers in another shape.
    """
    if plan.first is not None and isinstance(network, nn.Module):
        raise PlanError(
            "The stages of a cascade see different channels, and one module cannot be both",
            got=type(network).__qualname__,
            fix="give a function that makes one from a NetworkConfig (inputs + previous channels, outputs)",
        )
    kind = give_network(network)
    first = None if plan.first is None else with_network(plan.first, network)
    made = plan.model_copy(
        update={"network": plan.network.model_copy(update={"kind": kind, "options": {}}), "first": first}
    )
    require_patch(made.network, made.patch)
    return made
