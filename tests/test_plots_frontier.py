"""The figure of a frontier: what stands where, and that nothing undefined is drawn."""

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from hilum.evaluate import Measure
from hilum.plots import LabelCurve, Mark, Panel, frontiers

UNDEFINED = Measure(None, reason="no positive")


def measured(*values: float) -> list[Measure]:
    return [Measure(value, value - 0.1, value + 0.1) for value in values]


def panel(title: str = "Probe") -> Panel:
    curves = [
        LabelCurve("random", [10, 20, 200], measured(0.5, 0.6, 0.7), plain=True),
        LabelCurve("k-means", [10, 20, 200], [*measured(0.6, 0.7), UNDEFINED]),
    ]
    marks = [Mark("words", "none", Measure(0.55, 0.5, 0.6)), Mark("all", "all", Measure(0.9))]
    return Panel(title, curves, marks)


def texts(figure: Figure) -> list[str]:
    (legend,) = figure.legends
    return [text.get_text() for text in legend.get_texts()]


def test_every_number_of_labels_has_a_tick_between_none_and_all() -> None:
    (axes,) = frontiers([panel()], everything=6754).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == [
        "0", "10", "20", "200", "all\n(6,754)",
    ]  # fmt: skip
    places = axes.get_xticks()
    np.testing.assert_allclose(places[1:4], np.log10([10, 20, 200]))
    assert list(places) == sorted(places)
    assert axes.get_xlim()[0] < places[0]
    assert places[-1] < axes.get_xlim()[1]


def test_a_panel_without_marks_has_no_strips() -> None:
    (axes,) = frontiers([Panel("Probe", panel().curves, [])], everything=5).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["10", "20", "200"]


def test_what_is_compared_with_comes_first_and_names_stand_once() -> None:
    figure = frontiers([panel("Cosine"), panel("Probe")], everything=9, target=("goal", 0.8))
    assert texts(figure) == ["random", "k-means", "words", "all"]
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["Cosine", "Probe"]
    for axes in figure.axes:
        assert "goal" in [text.get_text() for text in axes.texts]


def test_lines_are_of_the_measures_and_bars_of_the_intervals() -> None:
    (axes,) = frontiers([panel()], everything=9).axes
    plain, other = axes.lines[:2]
    np.testing.assert_allclose(np.asarray(plain.get_ydata()), [0.5, 0.6, 0.7])
    np.testing.assert_allclose(np.asarray(other.get_ydata()), [0.6, 0.7, np.nan])
    bars = [bar for container in axes.containers for bar in container.get_children()]
    ends = [bar.get_segments()[0][:, 1] for bar in bars if hasattr(bar, "get_segments")]
    assert len(ends) == 1  # a mark without an interval has no bar
    np.testing.assert_allclose(ends[0], [0.5, 0.6])


def test_a_curve_has_bars_where_its_intervals_are_known_if_asked_for() -> None:
    measures = [*measured(0.6, 0.7), Measure(0.8)]
    for bars, expected in ((True, [[0.5, 0.7], [0.6, 0.8]]), (False, [])):
        curve = LabelCurve("taught", [10, 20, 200], measures, bars=bars)
        (axes,) = frontiers([Panel("Probe", [curve], [])], everything=9).axes
        found = [segment[:, 1] for one in axes.collections if isinstance(one, LineCollection)
                 for segment in one.get_segments()]  # fmt: skip
        np.testing.assert_allclose(np.reshape(found, (-1, 2)), np.reshape(expected, (-1, 2)))


def test_the_first_eighteen_names_look_different() -> None:
    curves = [LabelCurve(str(n), [10, 20], measured(0.6, 0.7)) for n in range(18)]
    (axes,) = frontiers([Panel("Probe", curves, [])], everything=9).axes
    looks = {(line.get_color(), line.get_marker(), line.get_linestyle()) for line in axes.lines}
    assert len(looks) == 18


@pytest.mark.parametrize("marks", [[], [Mark("none", "none", UNDEFINED)]])
def test_nothing_defined_is_drawn_as_an_empty_panel(marks: list[Mark]) -> None:
    figure = frontiers([Panel("Probe", [LabelCurve("x", [10], [UNDEFINED])], marks)], everything=3)
    figure.draw_without_rendering()
