"""Networks: a configuration as data, a builder per kind."""

from calque.nets.config import NetworkConfig

__all__ = ["NetworkConfig"]
