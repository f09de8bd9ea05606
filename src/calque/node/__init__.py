"""The node: a DICOM peer that segments the series it is sent. Needs the extra `dicom`."""

from calque.node.limits import Limits, Patience
from calque.node.listening import Listening, Peer, Web, parse_peer
from calque.node.node import Node, NodeOptions
from calque.node.queue import Queue
from calque.node.rules import Rule, Rules
from calque.node.status import NodeStatus, node_status

__all__ = [
    "Limits",
    "Listening",
    "Node",
    "NodeOptions",
    "NodeStatus",
    "Patience",
    "Peer",
    "Queue",
    "Rule",
    "Rules",
    "Web",
    "node_status",
    "parse_peer",
]
