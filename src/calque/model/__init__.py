"""`Model`: a trained model in one safe file."""

from calque.model.card import Card
from calque.model.model import Model

__all__ = ["Card", "Model"]
