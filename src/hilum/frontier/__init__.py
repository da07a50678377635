"""The label-efficiency frontier: AUROC against the number of labels, for all ways at once.

`draw_frontier` is the way in and `Frontier` what comes out. Below, lowest first: `design` says
what is asked; `material` reads vectors, labels and the test images, `kept` keeps arrays by their
content; `few` spends few labels by strategies, `others` makes what stands beside (sentences,
reports, networks, no pixels); `measured` resamples patients, `along` makes one number of a curve.
"""

from hilum.frontier.design import Design, FewLabels, Measuring, OtherLines
from hilum.frontier.draw import draw_frontier
from hilum.frontier.files import as_json, as_text, save
from hilum.frontier.page import page
from hilum.frontier.result import Frontier, Line, Point

__all__ = [
    "Design",
    "FewLabels",
    "Frontier",
    "Line",
    "Measuring",
    "OtherLines",
    "Point",
    "as_json",
    "as_text",
    "draw_frontier",
    "page",
    "save",
]
