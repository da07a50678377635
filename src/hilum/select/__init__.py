"""Which images to label: a pool of embeddings and a budget in, a worklist out."""

from hilum.select.pool import Picks, Pool, Settings, Strategy
from hilum.select.strategies import STRATEGIES
from hilum.select.worklist import Worklist, select

__all__ = ["STRATEGIES", "Picks", "Pool", "Settings", "Strategy", "Worklist", "select"]
