"""Cards: what a collection or a model is, what made it, what it is for and what it is not."""

from hilum.cards.card import Card, Table
from hilum.cards.data import data_card
from hilum.cards.model import holds_weights, model_card

__all__ = ["Card", "Table", "data_card", "holds_weights", "model_card"]
