"""The figures of an evaluation: what they show is what was measured, and all of it can be read."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from hilum import plots
from hilum.evaluate import Measure, calibration
from hilum.evaluate.curves import precision_recall_curve, roc_curve
from hilum.evaluate.metrics import auroc, average_precision
from hilum.plots.canvas import INK

Floats = NDArray[np.float64]

FINDINGS = [
    "Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Enlarged Cardiomediastinum",
    "Fracture", "Lung Lesion", "Lung Opacity", "No Finding", "Pleural Effusion", "Pleural Other",
    "Pneumonia", "Pneumothorax", "Support Devices",
]  # fmt: skip
UNDEFINED = Measure(None, reason="none of the 500 known labels is positive")


def images(seed: int, n: int = 300, prevalence: float = 0.2) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    truth = (rng.random(n) < prevalence).astype(float)
    truth[:2] = (0, 1)
    return 1 / (1 + np.exp(1.5 - 1.5 * truth - rng.normal(size=n))), truth


def around(value: float, half: float = 0.04) -> Measure:
    return Measure(value, value - half, value + half)


def point(name: str, sensitivity: float = 0.7, specificity: float = 0.8) -> plots.OperatingPoint:
    return plots.OperatingPoint(name, around(sensitivity), around(specificity), around(0.5))


BAND = plots.Band([0, 0.5, 1], [0, 0.4, 0.9], [0.3, 0.8, 1])
READERS = tuple(point(f"reader {at}", 0.6 + 0.05 * at, 0.9 - 0.06 * at) for at in range(3))


def roc_panel(finding: str, models: Sequence[str] = ("model",), **more: Any) -> plots.CurvePanel:
    curves = []
    for at, model in enumerate(models):
        scores, truth = images(at)
        fpr, tpr, _ = roc_curve(scores, truth)
        curves.append(plots.Curve(model, fpr, tpr, around(auroc(scores, truth)), BAND))
    return plots.CurvePanel(finding, 300, int(images(0)[1].sum()), curves, **more)


def pr_panel(finding: str, models: Sequence[str] = ("model",), **more: Any) -> plots.CurvePanel:
    curves = []
    for at, model in enumerate(models):
        scores, truth = images(at)
        precision, recall, _ = precision_recall_curve(scores, truth)
        area = around(average_precision(scores, truth))
        curves.append(plots.Curve(model, recall, precision, area))
    return plots.CurvePanel(finding, 300, int(images(0)[1].sum()), curves, **more)


def undefined_panel(finding: str = "Hernia") -> plots.CurvePanel:
    return plots.CurvePanel(finding, 500, 0, [plots.Curve("model", [], [], UNDEFINED)])


def reliability_panel(
    finding: str, names: Sequence[str] = ("as given",), shrink: float = 1
) -> plots.ReliabilityPanel:
    series = []
    for at, name in enumerate(names):
        scores, truth = images(at)
        bins = calibration.reliability(scores * shrink, truth * (shrink == 1), bins=8)
        series.append(
            plots.ReliabilitySeries(name, bins, scores * shrink, Measure(0.034), Measure(0.12))
        )
    return plots.ReliabilityPanel(finding, 300, int(truth.sum()), series)


def subgroup_panel(finding: str) -> plots.SubgroupPanel:
    rows = [
        plots.SubgroupRow("sex", "F", 1203, 85, around(0.81)),
        plots.SubgroupRow("sex", "M", 1310, 92, around(0.79)),
        plots.SubgroupRow("hospital", "Saint Somewhere of the Hills", 22433, 2, UNDEFINED),
    ]
    return plots.SubgroupPanel(finding, around(0.8), rows)


def readings(n: int, values: float = 0.6) -> list[Measure]:
    return [around(values + 0.02 * at) for at in range(n)]


def compared(n: int) -> list[Measure]:
    measures = [Measure(0.01 * at, 0.01 * at - 0.05, 0.01 * at + 0.05) for at in range(n)]
    return [replace(m, p_value=0.0004 if m.estimate else 0.62) for m in measures]


def drawings() -> dict[str, Figure]:
    everything: dict[str, Any] = {"readers": READERS, "mean_reader": point("mean of readers")}
    at_threshold = point("model at its threshold", 0.9, 0.6)
    one = roc_panel("Edema", **everything)
    ringed = replace(one, curves=[replace(one.curves[0], threshold=at_threshold)])
    three = ("a model", "another model", "a third one")
    names = [*FINDINGS, "Mean of 14"]
    return {
        "roc of one": plots.roc([ringed]),
        "roc of two": plots.roc([ringed, undefined_panel()], reader_intervals=True),
        "roc of five": plots.roc([roc_panel(n, three, **everything) for n in FINDINGS[:5]]),
        "roc of fourteen": plots.roc([roc_panel(n) for n in FINDINGS]),
        "roc of readers": plots.roc([plots.CurvePanel("Edema", 9, 4, [], READERS)]),
        "precision of one": plots.precision_recall([pr_panel("Edema", **everything)]),
        "precision of five": plots.precision_recall([pr_panel(n, three) for n in FINDINGS[:5]]),
        "reliability": plots.reliability([reliability_panel(n) for n in FINDINGS[:5]]),
        "reliability twice": plots.reliability(
            [reliability_panel(n, ("as given", "recalibrated"), 0.05) for n in FINDINGS[:2]]
        ),
        "readers": plots.readers(
            names, {f"reader {i}": readings(15) for i in range(3)}, {"model": readings(15)},
            mean=("mean of readers", readings(15)), last_is_mean=True,
        ),
        "differences": plots.differences(
            names, compared(15), sides=("readers better", "model better"), margin=0.05,
            last_is_mean=True,
        ),
        "differences adjusted": plots.differences(
            names, [*(replace(m, p_adjusted=0.1) for m in compared(14)), UNDEFINED]
        ),
        "subgroups": plots.subgroups([subgroup_panel(n) for n in FINDINGS[3:6]]),
        "forest": plots.forest(names, {"a model": readings(15), "another": readings(15, 0.5)}),
    }  # fmt: skip


DRAWINGS = drawings()


def words(figure: Figure) -> list[Text]:
    """Return every text that can be seen, each once."""
    seen: dict[int, Text] = {}

    def collect(artist: Artist) -> None:
        if not artist.get_visible():
            return
        if isinstance(artist, Axis):  # which keeps ticks beyond its ends, and does not draw them
            low, high = sorted(artist.get_view_interval())
            ticks = [tick for tick in artist.get_major_ticks() if low <= tick.get_loc() <= high]
            for label in (artist.label, *(tick.label1 for tick in ticks)):
                collect(label)
            return
        if isinstance(artist, Text) and artist.get_text().strip():
            seen[id(artist)] = artist
        for child in artist.get_children():
            collect(child)

    collect(figure)
    return list(seen.values())


def texts(figure: Figure | Axes) -> list[str]:
    found = figure.findobj(Text, include_self=False)
    return [text.get_text() for text in found if isinstance(text, Text) and text.get_text()]


def lines(axes: Axes, colour: str, marker: str = "None") -> list[Line2D]:
    """Return the lines of an axes in a colour and with a marker."""
    return [
        line
        for line in axes.lines
        if mpl.colors.same_color(line.get_color(), colour) and str(line.get_marker()) == marker
    ]


def xy(line: Line2D) -> tuple[list[float], list[float]]:
    x, y = line.get_data()
    return list(map(float, np.ravel(x))), list(map(float, np.ravel(y)))


def entries(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


# ------------------------------------------------------------------------------- all of them


@pytest.mark.parametrize("name", DRAWINGS)
def test_no_word_is_cut_off_and_no_two_lie_on_each_other(name: str) -> None:
    figure = DRAWINGS[name]
    figure.draw_without_rendering()
    boxes = [(text.get_text(), text.get_window_extent()) for text in words(figure)]
    page = figure.bbox.padded(0.5)
    assert len(boxes) > 4
    for text, box in boxes:
        assert page.x0 <= box.x0, text
        assert page.y0 <= box.y0, text
        assert box.x1 <= page.x1, text
        assert box.y1 <= page.y1, text
    for at, (text, box) in enumerate(boxes):
        for other, its_box in boxes[at + 1 :]:
            shared = Bbox.intersection(box, its_box)
            assert shared is None or min(shared.width, shared.height) < 1.5, (text, other)


@pytest.mark.parametrize("name", DRAWINGS)
def test_letters_are_large_enough_for_a_phone(name: str) -> None:
    figure = DRAWINGS[name]
    pixels_per_point = 390 / (72 * figure.get_figwidth())
    assert min(float(text.get_fontsize()) for text in words(figure)) * pixels_per_point >= 10


@pytest.mark.parametrize("name", DRAWINGS)
def test_words_leave_the_data_their_room(name: str) -> None:
    figure = DRAWINGS[name]
    figure.draw_without_rendering()
    least = 0.4 if name.startswith(("roc", "precision")) else 0.34
    widths = [axes.get_window_extent().width for axes in figure.axes]
    assert min(widths) > least * figure.bbox.width


@pytest.mark.parametrize(
    "name", [name for name in DRAWINGS if name.startswith(("roc", "precision", "reliability"))]
)
def test_panels_are_square(name: str) -> None:
    figure = DRAWINGS[name]
    figure.draw_without_rendering()
    for axes in figure.axes:
        box = axes.get_window_extent()
        if axes.get_visible():
            assert box.width == pytest.approx(box.height, rel=0.02)


@pytest.mark.parametrize("draw", [plots.roc, plots.precision_recall, plots.reliability])
def test_nothing_to_draw_is_refused(draw: Callable[[list[Any]], Figure]) -> None:
    with pytest.raises(ValueError, match="there is no panel to draw: give at least one finding"):
        draw([])
    with pytest.raises(ValueError, match="give at least one finding, or the mean"):
        plots.subgroups([])


# ------------------------------------------------------------------------------- ROC and PR


def test_the_line_drawn_has_the_area_that_is_written_above_it() -> None:
    (roc,) = plots.roc([roc_panel("Edema")]).axes
    (precision,) = plots.precision_recall([pr_panel("Edema")]).axes
    scores, truth = images(0)
    for axes, area in ((roc, auroc(scores, truth)), (precision, average_precision(scores, truth))):
        (line,) = lines(axes, plots.PALETTE[0])
        x, y = xy(line)
        assert np.trapezoid(y, x) == pytest.approx(area, abs=0.002)
    assert f"AUROC {auroc(scores, truth):.3f}" in " ".join(texts(roc))
    assert f"AP {average_precision(scores, truth):.3f}" in " ".join(texts(precision))


def test_the_precision_recall_line_has_steps_and_no_slopes() -> None:
    few = plots.Curve("model", [0.5, 1, 1], [1, 2 / 3, 0.5], around(0.8))
    (axes,) = plots.precision_recall([plots.CurvePanel("Edema", 5, 2, [few])]).axes
    (line,) = lines(axes, plots.PALETTE[0])
    x, y = xy(line)
    np.testing.assert_allclose(x, [0, 0.5, 0.5, 1, 1])
    np.testing.assert_allclose(y, [1, 1, 2 / 3, 2 / 3, 0.5])


def test_chance_is_the_diagonal_of_one_and_the_prevalence_of_the_other() -> None:
    figure = plots.roc([roc_panel("Edema")])
    (line,) = lines(figure.axes[0], plots.GREY)
    assert xy(line) == ([0, 1], [0, 1])
    assert entries(figure) == ["model", "chance"]
    figure = plots.precision_recall([replace(pr_panel("Edema"), n=200, positives=30)])
    (line,) = lines(figure.axes[0], plots.GREY)
    assert xy(line) == ([0, 1], [0.15, 0.15])
    assert entries(figure) == ["model", "prevalence"]
    assert "30 of 200 positive" in texts(figure.axes[0])


def test_readers_are_points_at_their_rates_with_one_marker_each() -> None:
    first = roc_panel("Edema", readers=READERS)
    second = roc_panel("Mass", readers=READERS[::-1])
    figure = plots.roc([first, second])
    assert entries(figure) == ["model", "reader 0", "reader 1", "reader 2", "chance"]
    for axes in figure.axes:
        for marker, reader in zip(plots.MARKERS, READERS, strict=False):
            (mark,) = lines(axes, INK, marker)
            assert reader.specificity.estimate is not None
            expected = 1 - reader.specificity.estimate, reader.sensitivity.estimate
            assert (xy(mark)[0][0], xy(mark)[1][0]) == pytest.approx(expected)
    (axes,) = plots.precision_recall([pr_panel("Edema", readers=READERS[:1])]).axes
    (mark,) = lines(axes, INK, "o")
    assert (xy(mark)[0][0], xy(mark)[1][0]) == pytest.approx((0.6, 0.5))


def test_many_readers_share_a_marker_and_an_entry() -> None:
    readers = [point(f"reader {at}") for at in range(8)]
    figure = plots.roc([roc_panel("Edema", readers=readers)])
    assert entries(figure) == ["model", "8 readers", "chance"]
    assert len(lines(figure.axes[0], INK, "o")) == 8


def test_a_reader_without_a_rate_is_not_a_point() -> None:
    blind = replace(READERS[0], sensitivity=UNDEFINED)
    figure = plots.roc([roc_panel("Edema", readers=[blind])], reader_intervals=True)
    assert not lines(figure.axes[0], INK, "o")
    assert len(lines(figure.axes[0], plots.GREY)) == 1  # chance, and no cross


def test_crosses_are_the_readers_intervals_and_are_drawn_when_asked() -> None:
    reader = plots.OperatingPoint(
        "a", Measure(0.7, 0.6, 0.75), Measure(0.8, 0.7, 0.95), Measure(0.5)
    )
    panels = [roc_panel("Edema", readers=[reader])]
    assert len(lines(plots.roc(panels).axes[0], plots.GREY)) == 1
    across, up = lines(plots.roc(panels, reader_intervals=True).axes[0], plots.GREY)[1:]
    np.testing.assert_allclose(xy(across), [[0.05, 0.3], [0.7, 0.7]])
    np.testing.assert_allclose(xy(up), [[0.2, 0.2], [0.6, 0.75]])


def test_the_mean_is_a_star_and_the_threshold_a_ring_below_the_readers() -> None:
    panel = roc_panel("Edema", readers=READERS[:1], mean_reader=point("mean of three"))
    curve = replace(panel.curves[0], threshold=point("model at 0.5"))
    figure = plots.roc([replace(panel, curves=[curve])])
    assert entries(figure) == ["model", "model at 0.5", "reader 0", "mean of three", "chance"]
    (ring,) = lines(figure.axes[0], plots.PALETTE[0], "o")
    assert ring.get_markerfacecolor() == "white"
    drawn = [str(line.get_marker()) for line in figure.axes[0].lines]
    assert [marker for marker in drawn if marker != "None"] == ["*", "o", "o"]


def test_a_band_lies_around_the_curve_and_stops_where_it_is_undefined() -> None:
    def outline(band: plots.Band) -> Floats:
        panel = roc_panel("Edema")
        panel = replace(panel, curves=[replace(panel.curves[0], band=band)])
        (patch,) = plots.roc([panel]).axes[0].patches
        return np.asarray(patch.get_path().vertices)[:-1]

    whole = outline(plots.Band([0, 0.5, 1], [0, 0.4, 0.9], [0.3, 0.8, 1]))
    expected = [(0, 0), (0.5, 0.4), (1, 0.9), (1, 1), (0.5, 0.8), (0, 0.3)]
    np.testing.assert_allclose(whole, expected)
    part = outline(plots.Band([0, 0.5, 1], [np.nan, 0.4, 0.9], [np.nan, 0.8, 1]))
    assert part[:, 0].min() == 0.5


def test_an_undefined_finding_has_a_panel_that_says_why() -> None:
    for draw in (plots.roc, plots.precision_recall):
        axes = draw([undefined_panel()]).axes[0]
        (reason,) = [text for text in texts(axes) if text.startswith("undefined")]
        assert reason.replace("\n", " ") == "undefined: none of the 500 known labels is positive"
        assert not lines(axes, plots.GREY)
        assert not lines(axes, plots.PALETTE[0])
    (axes,) = plots.roc([plots.CurvePanel("Edema", 9, 4, [])]).axes
    assert "undefined: there are no\nscores" in texts(axes)


def test_readers_alone_need_no_model() -> None:
    (axes,) = plots.roc([plots.CurvePanel("Edema", 9, 4, [], READERS)]).axes
    assert not [text for text in texts(axes) if text.startswith("undefined")]
    assert len(lines(axes, plots.GREY)) == 1
    assert len(lines(axes, INK, "o")) == 1


def test_a_model_without_scores_for_a_finding_leaves_the_others_drawn() -> None:
    panel = roc_panel("Edema", ("one", "two"))
    lost = replace(panel.curves[0], area=Measure(None, reason="no scores"))
    (axes,) = plots.roc([replace(panel, curves=[lost, panel.curves[1]])]).axes
    assert "AUROC undefined" in texts(axes)
    assert not lines(axes, plots.PALETTE[0])
    assert len(lines(axes, plots.PALETTE[1])) == 1


def test_more_than_three_models_are_refused() -> None:
    with pytest.raises(ValueError, match="at most 3 models, got 4: a, b, c, d; draw the others"):
        plots.roc([roc_panel("Edema", "abcd")])
    with pytest.raises(ValueError, match="at most 3 models, got 4"):
        plots.readers(["Edema"], {}, {name: readings(1) for name in "abcd"})


def test_a_hundred_thousand_images_cost_no_more_than_can_be_seen() -> None:
    scores, truth = images(7, n=100_000, prevalence=0.05)
    fpr, tpr, _ = roc_curve(scores, truth)
    precision, recall, _ = precision_recall_curve(scores, truth)
    roc = plots.CurvePanel("Edema", 1, 1, [plots.Curve("model", fpr, tpr, around(0.8))])
    steps = plots.CurvePanel("Edema", 1, 1, [plots.Curve("m", recall, precision, around(0.3))])
    for figure in (plots.roc([roc, roc]), plots.precision_recall([steps, steps])):
        (line,) = lines(figure.axes[0], plots.PALETTE[0])
        assert len(xy(line)[0]) < 250


# ------------------------------------------------------------------------------- reliability


def test_bins_are_points_with_bars_and_the_diagonal_beside_them() -> None:
    panel = reliability_panel("Edema")
    figure = plots.reliability([panel])
    (axes,) = figure.axes
    bins = panel.series[0].bins
    (dots,) = lines(axes, plots.PALETTE[0], "o")
    np.testing.assert_allclose(xy(dots), [bins.expected, bins.observed])
    (bars,) = lines(axes, plots.PALETTE[0])
    np.testing.assert_allclose(xy(bars)[0][::3], bins.expected)
    np.testing.assert_allclose([xy(bars)[1][::3], xy(bars)[1][1::3]], [bins.low, bins.high])
    (diagonal,) = lines(axes, plots.GREY)
    assert xy(diagonal)[0] == xy(diagonal)[1]
    assert entries(figure) == ["as given", "perfectly calibrated"]
    assert "ECE 0.034, Brier 0.120" in texts(axes)


def test_a_rare_findings_panel_has_the_range_of_its_scores() -> None:
    panels = [reliability_panel("Edema"), reliability_panel("Hernia", shrink=0.15)]
    wide, narrow = plots.reliability(panels).axes
    assert (wide.get_xlim(), narrow.get_xlim()) == ((0, 1), (0, 0.2))


def test_the_strip_counts_scores_and_its_last_bar_those_beyond() -> None:
    bins = calibration.reliability([0.02, 0.05, 0.05], [0, 1, 0], bins=1)
    bins = replace(bins, observed=np.array([0.05]))
    scores = [0.001, 0.001, 0.5, np.nan]
    series = plots.ReliabilitySeries("a", bins, scores, Measure(0.1), Measure(0.1))
    (axes,) = plots.reliability([plots.ReliabilityPanel("Edema", 3, 1, [series])]).axes
    (patch,) = axes.patches
    outline = np.asarray(patch.get_path().vertices)
    base, top = outline[:, 1].min(), outline[:, 1].max()
    heights = {x: outline[np.isclose(outline[:, 0], x), 1].max() - base for x in (0.0, 0.1)}
    assert heights[0.0] == pytest.approx(top - base)
    assert heights[0.1] == pytest.approx((top - base) / 2)
    assert base >= axes.get_ylim()[0]


def test_two_sets_of_scores_share_the_strip_without_meeting() -> None:
    (axes,) = plots.reliability([reliability_panel("Edema", ("as given", "recalibrated"))]).axes
    up, down = (np.asarray(patch.get_path().vertices)[:, 1] for patch in axes.patches)
    assert up.max() < 0
    assert up.min() == pytest.approx(down.max())
    assert down.min() > axes.get_ylim()[0]


def test_an_undefined_calibration_says_why() -> None:
    nothing = calibration.reliability([], [])
    series = plots.ReliabilitySeries("a", nothing, [7.0], UNDEFINED, UNDEFINED)
    (axes,) = plots.reliability([plots.ReliabilityPanel("Hernia", 500, 0, [series])]).axes
    assert "undefined: none of the\n500 known labels is\npositive" in texts(axes)
    assert not axes.lines


def test_what_is_no_probability_has_no_reliability() -> None:
    bins = calibration.reliability([0.5], [1])
    with pytest.raises(ValueError, match="the scores are not probabilities: they go from -1 to 7"):
        plots.ReliabilitySeries("a", bins, [-1.0, 7.0], Measure(0.1), Measure(0.1))
    with pytest.raises(ValueError, match="holds two sets of scores, got 3: a, b, c; draw the"):
        plots.reliability([reliability_panel("Edema", "abc")])


# ------------------------------------------------------------------------------- rows


def test_readers_and_models_are_marked_as_on_the_roc_figure() -> None:
    figure = plots.readers(
        ["Edema", "Mass"],
        {"a": readings(2), "b": readings(2, 0.5)},
        {"model": readings(2, 0.8)},
        mean=("mean of readers", readings(2, 0.55)),
        x="MCC",
    )
    (axes,) = figure.axes
    assert entries(figure) == ["a", "b", "mean of readers", "model"]
    assert [str(line.get_marker()) for line in axes.lines] == ["o", "s", "*", "o"]
    np.testing.assert_allclose(xy(axes.lines[1])[0], [0.5, 0.52])
    rows = np.array([xy(line)[1] for line in axes.lines])
    assert (np.diff(rows, axis=0) > 0).all()  # from top to bottom, the readers first
    assert abs(rows - [0, 1]).max() < 0.5  # and each within its finding's row
    assert axes.get_xlabel() == "MCC"


def test_differences_have_lines_at_nothing_and_at_the_margin() -> None:
    (axes,) = plots.differences(["Edema"], [around(0.02)], margin=0.05).axes
    (nothing,) = lines(axes, plots.GREY)
    (margin,) = lines(axes, plots.PALETTE[1])
    assert (xy(nothing)[0], xy(margin)[0]) == ([0, 0], [-0.05, -0.05])
    assert "margin −0.05" in texts(axes)
    assert "0" in [label.get_text() for label in axes.get_xticklabels()]  # not 0.00
    low, high = axes.get_xlim()
    assert low < -0.05 < high


def test_numbers_below_differences_are_well_apart() -> None:
    figure = DRAWINGS["differences adjusted"]
    figure.draw_without_rendering()
    (axes,) = figure.axes
    boxes = [label.get_window_extent() for label in axes.get_xticklabels()]
    assert min(b.x0 - a.x1 for a, b in pairwise(boxes)) > 6


def test_a_margin_is_above_nothing() -> None:
    with pytest.raises(ValueError, match=r"how much worse would still do; got -0\.1"):
        plots.differences(["Edema"], [around(0.02)], margin=-0.1)


def test_p_values_stand_beside_their_rows_and_only_where_there_are_some() -> None:
    measures = [
        Measure(0.1, 0.05, 0.2, p_value=0.0009, p_adjusted=0.00003),
        Measure(0.01, -0.1, 0.1, p_value=0.5216, p_adjusted=1.0),
        Measure(0.02, -0.1, 0.1, p_value=0.05),
    ]
    (axes,) = plots.differences(["Edema", "Mass", "Mean"], measures).axes
    cells = [text for text in axes.texts if text.get_text()]
    shown = [text.get_text() for text in cells]
    assert shown == ["<0.001", "0.522", "0.050", "p", "<0.001", "1.000", "adjusted"]
    assert [text.xy[1] for text in cells[:3]] == [0, 1, 2]  # type: ignore[attr-defined]
    (axes,) = plots.differences(["Edema"], measures[2:]).axes
    assert [text.get_text() for text in axes.texts] == ["0.050", "p"]
    (axes,) = plots.differences(["Edema"], [around(0.1)]).axes
    assert not axes.texts


def test_the_sides_of_a_difference_are_named() -> None:
    (axes,) = plots.differences(["a"], [around(0)], x="F1", sides=("ours", "theirs")).axes
    assert axes.get_xlabel().split() == ["←", "ours", "theirs", "→", "F1"]


def test_subgroups_stand_under_their_column_with_their_counts() -> None:
    other = replace(subgroup_panel("Mass"), overall=around(0.4))
    first, second = plots.subgroups([subgroup_panel("Edema"), other], x="F1").axes
    names = [label.get_text() for label in first.get_yticklabels()]
    assert names == ["sex", "F", "M", "hospital", "Saint Somewhere o…"]
    weights = [label.get_fontweight() for label in first.get_yticklabels()]
    assert weights == ["bold", "normal", "normal", "bold", "normal"]
    assert {"1,203", "85", "22,433", "2", "images", "positive", "undefined"} <= set(texts(first))
    assert "all: F1 0.800 (0.760–0.840)" in texts(first)
    (dots,) = lines(first, plots.PALETTE[0], "o")
    np.testing.assert_allclose(xy(dots)[0], [0.81, 0.79, np.nan])
    assert xy(dots)[1] == [1, 2, 4]
    assert first.get_xlim() == second.get_xlim()
    assert (first.get_xlabel(), second.get_xlabel()) == ("", "F1")


def test_rows_are_equally_high_in_panels_of_different_length() -> None:
    many = subgroup_panel("Edema")
    few = replace(many, subgroups=many.subgroups[:1])
    figure = plots.subgroups([many, few])
    figure.draw_without_rendering()
    high, low = (axes.get_window_extent().height for axes in figure.axes)
    assert high / 5 == pytest.approx(low / 2, rel=0.01)


def test_all_images_are_a_line_and_a_shade_in_every_subgroup_panel() -> None:
    (axes,) = plots.subgroups([subgroup_panel("Edema")]).axes
    (line,) = lines(axes, plots.GREY)
    assert xy(line)[0] == [0.8, 0.8]
    (shade,) = axes.patches
    assert shade.get_extents().transformed(axes.transData.inverted()).intervalx == pytest.approx(
        [0.76, 0.84]
    )
    (axes,) = plots.subgroups([replace(subgroup_panel("Edema"), overall=UNDEFINED)]).axes
    assert not axes.patches
    assert "all: AUROC undefined" in texts(axes)
