"""Trainings side by side: what is drawn, and how much fits."""

import numpy as np
import pytest

from hilum.evaluate import Measure
from hilum.plots import differences
from hilum.plots.trainings import Trained, trainings


def one(steps: int = 60) -> Trained:
    step = np.arange(1, steps + 1, dtype=float)
    return Trained(step, 1 / step, step[9::10], np.sqrt(step[9::10] / steps))


def test_every_training_has_a_line_in_both_panels_and_every_arm_one_entry() -> None:
    figure = trainings({"densenet121": [one(), one()], "resnet50": [one()]})
    above, below = figure.axes
    assert len(above.lines) == 3
    assert len(below.lines) == 3 + 1  # and what a guess reaches
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "densenet121",
        "resnet50",
    ]
    x, y = (np.asarray(values) for values in above.lines[0].get_data())
    assert x[0] == 2  # the mean of the first two steps
    assert y[0] == pytest.approx((1 + 1 / 2) / 2)
    assert above.lines[0].get_color() == above.lines[1].get_color() != above.lines[2].get_color()


def test_losses_that_cannot_be_compared_are_left_out() -> None:
    figure = trainings({"bce": [one()]}, losses=False, chance=None, measure="Minus loss")
    (axes,) = figure.axes
    assert axes.get_ylabel() == "Minus loss"
    assert len(axes.lines) == 1


def test_a_training_that_logged_nothing_draws_nothing() -> None:
    empty = np.empty(0)
    figure = trainings({"none": [Trained(empty, empty, empty, empty)]})
    assert len(figure.axes[0].lines) == 0


def test_long_names_stand_below_each_other_and_inside_the_figure() -> None:
    figure = trainings({"densenet121 · image+demographics+previous": [one()], "b": [one()]})
    figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    assert box.x1 <= figure.bbox.x1
    assert box.y1 <= figure.bbox.y1


def test_rows_are_as_high_as_their_names() -> None:
    names = ["mobilenetv3_small_050 · image+history", "mobilenetv3_small_050 · image+previous"]
    figure = differences(names, [Measure(0.1, 0.0, 0.2)] * 2)
    figure.draw_without_rendering()
    first, second = (label.get_window_extent() for label in figure.axes[0].get_yticklabels())
    assert second.y1 <= first.y0


@pytest.mark.parametrize("count", [0, 7])
def test_more_arms_than_colours_or_none_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match=f"one to 6 arms fit a figure; got {count}"):
        trainings({str(n): [one()] for n in range(count)})
