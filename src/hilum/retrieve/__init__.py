"""Retrieval in one space: images by a sentence, and how well reports and films find each other.

`cases` finds and `recall` measures. Below it, `ranks` counts for both directions at once, without
ever holding the matrix of all images by all reports, and `statistics` resamples patients.
"""

from hilum.retrieve.cases import Cases, retrieve
from hilum.retrieve.neighbours import (
    NeighbourMetrics,
    compare_neighbours,
    evaluate_neighbours,
)
from hilum.retrieve.recall import Direction, RetrievalMetrics, evaluate_retrieval

__all__ = [
    "Cases",
    "Direction",
    "NeighbourMetrics",
    "RetrievalMetrics",
    "compare_neighbours",
    "evaluate_neighbours",
    "evaluate_retrieval",
    "retrieve",
]
