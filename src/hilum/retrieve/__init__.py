"""Retrieval in one space: images by a sentence or an image, and how well it finds the right ones.

`query` makes a vector of what is looked for, `searching` decides whether every vector (`cases`) or
the index answers. `recall` measures how well reports and films find each other (below it `ranks`
counts for both directions at once, without ever holding the matrix of all images by all reports,
and `statistics` resamples patients);
`neighbours` how well images find images of their kind (below it `queries`), `confounding` how much
of that is where they come from, and `anomaly` how well a class that was never taught stands out.
"""

from hilum.retrieve.anomaly import AnomalyMetrics, evaluate_anomaly
from hilum.retrieve.cases import Cases
from hilum.retrieve.confounding import Confounding, evaluate_confounding
from hilum.retrieve.neighbours import (
    NeighbourMetrics,
    compare_neighbours,
    evaluate_neighbours,
)
from hilum.retrieve.query import retrieve
from hilum.retrieve.recall import Direction, RetrievalMetrics, evaluate_retrieval

__all__ = [
    "AnomalyMetrics",
    "Cases",
    "Confounding",
    "Direction",
    "NeighbourMetrics",
    "RetrievalMetrics",
    "compare_neighbours",
    "evaluate_anomaly",
    "evaluate_confounding",
    "evaluate_neighbours",
    "evaluate_retrieval",
    "retrieve",
]
