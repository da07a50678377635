"""ROC and precision-recall curves: their exact points, fewer points to draw, and a band.

The points are those of the data, one per distinct score, because images of equal score cross a
threshold together. Nothing is interpolated or smoothed, so the area under the ROC curve's line is
`ranking.step_auroc`, and the area under the precision-recall staircase is the average precision.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hilum.evaluate.draws import MEMORY, Draws
from hilum.evaluate.ranking import Floats, Ranking, Steps, check


def roc_curve(
    scores: ArrayLike, truth: ArrayLike, weights: ArrayLike | None = None
) -> tuple[Floats, Floats, Floats]:
    """Return every point of the ROC curve.

    Parameters
    ----------
    scores, truth : (n_images,)
        Finite numbers, higher for likelier; 1, 0, or NaN where unknown.
    weights : (n_images,)
        How much each image counts; 2 is the image twice, 0 leaves it out.

    Returns
    -------
    fpr, tpr, thresholds : (n_points,)
        False and true positive rates of calling an image positive when its score is at or above
        each threshold. The first point is (0, 0) at an infinite threshold, then one for each
        distinct score, highest first. A rate is NaN where its class is absent.

    Raises
    ------
    ValueError
        If the arrays differ in length, truth is neither 0, 1 nor NaN, a score is not finite
        where the truth is known, or a weight is negative or not finite.
    """
    thresholds, found, false = _counts(scores, truth, weights)
    start = np.zeros(1)
    return (
        _rates(np.concatenate([start, false])),
        _rates(np.concatenate([start, found])),
        np.concatenate([[np.inf], thresholds]),
    )


def precision_recall_curve(
    scores: ArrayLike, truth: ArrayLike, weights: ArrayLike | None = None
) -> tuple[Floats, Floats, Floats]:
    """Return every point of the precision-recall curve; parameters and errors as in `roc_curve`.

    Returns
    -------
    precision, recall, thresholds : (n_points,)
        One for each distinct score, highest first, so that recall rises. There is no point at
        recall 0: where nothing is called positive, precision is undefined. Recall is NaN
        without positives. `staircase` gives the line to draw.
    """
    thresholds, found, false = _counts(scores, truth, weights)
    return found / (found + false), _rates(found), thresholds


def _counts(
    scores: ArrayLike, truth: ArrayLike, weights: ArrayLike | None
) -> tuple[Floats, Floats, Floats]:
    """Return the distinct scores, highest first, and the weight of each class from there up."""
    score, label = np.asarray(scores, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    check(score, label, np.arange(score.size))
    weight = np.ones(score.size) if weights is None else np.asarray(weights, dtype=np.float64)
    if weight.shape != score.shape or not np.isfinite(weight).all() or (weight < 0).any():
        raise ValueError(f"weights must be {score.size} finite numbers, none below 0")
    there = ~np.isnan(label) & (weight > 0)
    score, positive, weight = score[there], label[there] == 1, weight[there]
    order = np.argsort(-score, kind="stable")
    score, positive, weight = score[order], positive[order], weight[order]
    last = np.flatnonzero(np.append(score[1:] != score[:-1], True)[: score.size])
    found, false = np.cumsum(weight * positive)[last], np.cumsum(weight * ~positive)[last]
    return score[last], found, false


def _rates(sums: Floats) -> Floats:
    """Divide running sums by the last of them; NaN where that is 0."""
    total = sums[-1] if sums.size and sums[-1] > 0 else np.nan
    return sums / total


def staircase(recall: ArrayLike, precision: ArrayLike) -> tuple[Floats, Floats]:
    """Return the line that a precision-recall curve is.

    Each precision holds from the recall before it up to its own; the slope between two points
    that a straight line would draw is not attainable (Davis and Goadrich, ICML 2006). The area
    below is the average precision.

    Parameters
    ----------
    recall, precision : (n_points,)
        Recall ascending.

    Returns
    -------
    x, y : (2 n_points,)
        From recall 0 to the last recall.

    Raises
    ------
    ValueError
        If the arrays differ in length or hold anything but finite numbers.
    """
    ends, heights = _line(recall, precision)
    starts = np.concatenate([[0.0], ends])[: ends.size]
    return np.stack([starts, ends], axis=1).ravel(), np.repeat(heights, 2)


def _line(x: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
    across, up = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if across.ndim != 1 or across.shape != up.shape:
        raise ValueError(
            "a line's x and y must be one-dimensional and of one length; "
            f"got shapes {across.shape} and {up.shape}"
        )
    if not (np.isfinite(across).all() and np.isfinite(up).all()):
        raise ValueError("a line's x and y must be finite: leave out what is undefined")
    return across, up


def thinned(x: ArrayLike, y: ArrayLike, tolerance: float = 0.0) -> tuple[Floats, Floats]:
    """Leave out the points of a line that its drawing does not need.

    Parameters
    ----------
    x, y : (n_points,)
        The line, in units in which both axes are equally long.
    tolerance
        How far a point that is left out may lie from the new line (Douglas and Peucker,
        Cartographica 10:112-122, 1973). At 0 only the insides of horizontal and vertical runs
        go, and repeated points: the line and the area under it stay exactly what they were.

    Returns
    -------
    x, y : (n_kept,)
        Points of the line, the first and the last always among them. Under a line that only
        rises, such as a ROC curve, the area changes by less than twice the tolerance.

    Raises
    ------
    ValueError
        If the arrays differ in length or hold anything but finite numbers.
    """
    across, up = _line(x, y)
    moved = np.append(True, (np.diff(across) != 0) | (np.diff(up) != 0))[: across.size]
    across, up = across[moved], up[moved]
    corners = _corners(across, up)
    across, up = across[corners], up[corners]
    if tolerance > 0 and across.size > 2:
        kept = _needed(across, up, tolerance)
        across, up = across[kept], up[kept]
    return across, up


def _corners(x: Floats, y: Floats) -> NDArray[np.bool_]:
    """Tell which points are not inside a horizontal or vertical run in one direction."""
    dx, dy = np.diff(x), np.diff(y)
    flat = (dy[:-1] == 0) & (dy[1:] == 0) & (dx[:-1] * dx[1:] > 0)
    steep = (dx[:-1] == 0) & (dx[1:] == 0) & (dy[:-1] * dy[1:] > 0)
    corner = np.ones(x.size, dtype=np.bool_)
    corner[1:-1] = ~(flat | steep)
    return corner


def _needed(x: Floats, y: Floats, tolerance: float) -> NDArray[np.bool_]:
    kept = np.zeros(x.size, dtype=np.bool_)
    kept[[0, -1]] = True
    spans = [(0, x.size - 1)]
    while spans:
        first, last = spans.pop()
        if last - first < 2:
            continue
        gaps = _distances(x[first : last + 1], y[first : last + 1])
        farthest = first + int(gaps.argmax())
        if gaps[farthest - first] > tolerance:
            kept[farthest] = True
            spans += [(first, farthest), (farthest, last)]
    return kept


def _distances(x: Floats, y: Floats) -> Floats:
    """Return how far each point lies from the segment between the first and the last.

    The segment, not the endless line: a tooth of a precision-recall curve may stick out of it
    in its own direction.
    """
    dx, dy = x[-1] - x[0], y[-1] - y[0]
    along = (x - x[0]) * dx + (y - y[0]) * dy
    share = np.clip(along / max(dx * dx + dy * dy, np.finfo(np.float64).tiny), 0, 1)
    out: Floats = np.hypot(x - x[0] - share * dx, y - y[0] - share * dy)
    return out


def roc_heights(ranking: Ranking, weights: Floats, grid: ArrayLike) -> Floats:
    """Return the ROC curve's height above false positive rates, for many weightings.

    Parameters
    ----------
    ranking
        The sorted images of one finding.
    weights : (n_units, n_weightings)
        Such as how often each patient was drawn.
    grid : (n_grid,)
        False positive rates, 0 to 1.

    Returns
    -------
    (n_grid, n_weightings)
        True positive rates; the upper end where the curve is vertical, and between the ends of
        a slanted step, which images of equal score make, on the straight line (Fawcett, Pattern
        Recognit Lett 27:861-874, 2006, algorithm 4). NaN where a class has no weight.
    """
    at = np.asarray(grid, dtype=np.float64)
    steps = ranking.weigh(weights)
    across, up = _outlines(steps)
    out = np.full((at.size, across.shape[0]), np.nan)
    for column in np.flatnonzero((steps.total_positives > 0) & (steps.total_negatives > 0)):
        out[:, column] = np.interp(at, across[column], up[column])
    return out


def _outlines(steps: Steps) -> tuple[Floats, Floats]:
    """Return the rates (n_weightings, 2 n_steps + 2) where each step starts and ends."""
    found = np.cumsum(steps.positives, axis=0).T
    before = np.concatenate([np.zeros((found.shape[0], 1)), found], axis=1)[:, :-1]
    pairs = np.stack([[steps.above.T, (steps.above + steps.tied).T], [before, found]])
    inner = pairs.transpose(0, 2, 3, 1).reshape(2, found.shape[0], -1)
    totals = np.stack([steps.total_negatives, steps.total_positives])[:, :, None]
    lines = np.concatenate([np.zeros(totals.shape), inner, totals], axis=2)
    out = np.divide(lines, totals, out=lines, where=totals > 0)
    return out[0], out[1]


def roc_bands(
    rankings: Sequence[Ranking], draws: Draws, grid: ArrayLike, level: float = 0.95
) -> tuple[Floats, Floats]:
    """Return a band around each ROC curve: percentiles of its height at false positive rates.

    Vertical averaging (Fawcett 2006, section 8.1) with percentiles instead of a mean. A band is
    pointwise: each height alone lies in it as often as `level` says, the whole curve less often.

    Parameters
    ----------
    rankings
        The sorted images of each curve, over the units of `draws`.
    draws
        The resamples, the same for all curves.
    grid : (n_grid,)
        False positive rates, 0 to 1.
    level
        Coverage aimed at, such as 0.95.

    Returns
    -------
    low, high : (n_rankings, n_grid)
        NaN where no resample has both classes.

    Notes
    -----
    One chunk of resamples is held at a time; beside it only the heights, n_rankings × n_grid ×
    resamples numbers.
    """
    at = np.asarray(grid, dtype=np.float64)
    heights = np.full((len(rankings), at.size, draws.resamples), np.nan)
    steps = max((ranking.positives.shape[0] for ranking in rankings), default=0)
    held = 8 * (3 * draws.n_units + 10 * steps + 1)  # bytes of one resample, about
    for place, weights in draws.counts(int(np.clip(MEMORY // held, 1, 512))):
        for row, ranking in enumerate(rankings):
            heights[row, :, place] = roc_heights(ranking, weights, at)
    out = np.full((2, len(rankings), at.size), np.nan)
    for row in range(len(rankings)):
        defined = heights[row][:, ~np.isnan(heights[row]).any(axis=0)]
        if defined.shape[1]:
            out[:, row] = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2], axis=1)
    return out[0], out[1]
