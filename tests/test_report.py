"""The page and its plots: self-contained, escaped, legible without pictures, reproducible."""

import base64
import io
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure as Plot
from matplotlib.text import Annotation
from PIL import Image

from hilum import plots
from hilum.errors import UsageError
from hilum.evaluate import Measure
from hilum.report import (
    NOTICE,
    Block,
    Box,
    Details,
    Figure,
    Gallery,
    KeyFigure,
    KeyFigures,
    Page,
    Prose,
    Rows,
    Section,
    figure,
    film,
)

VOID = {"meta", "img", "rect", "br"}
UNDEFINED = Measure(None, reason="none of the 9 known labels is positive")


class Checker(HTMLParser):
    """Check that tags are balanced, and collect them with their attributes and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def plot() -> Figure:
    return figure(plots.bars({"Edema": 3.0, "Mass": 10.0}, x="Images"), "Bars.", "A caption.")


def full_page() -> Page:
    table = Rows(
        ["Finding", "n", "AUROC"],
        [["Edema", 9, Measure(0.81234, 0.7, 0.9)], ["Mass", 9, UNDEFINED], ["Mean", "", 0.5]],
        "Some numbers with 95 % intervals.",
        last_is_total=True,
    )
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    gallery = Gallery([film(pixels, "PA, 61 y", boxes=[Box("Mass", 1, 1, 2, 1)])], "One film.")
    key = KeyFigures([KeyFigure("0.81", "AUROC", "0.70 to 0.90"), KeyFigure("9", "images")])
    blocks: list[Block] = [Prose("First.", "<b>2 < 3</b>"), key, table, plot(), plot(), gallery]
    sections = [Section("In short", blocks), Section("Two & more", []), Section("Three", [])]
    sections[1] = Section("Two & more", [Details("Folded", {"a": 1})])
    return Page("A <title>", sections, "Lead.", {"seed": 0})


def test_the_page_is_well_formed_and_asks_the_network_for_nothing() -> None:
    page = Checker(full_page().html())
    assert not page.of("script")
    assert not page.of("link")
    sources = [tag[key] for _, tag in page.tags for key in ("src", "href") if tag.get(key)]
    assert sources
    assert all((source or "").startswith(("data:image/", "#")) for source in sources)
    policies = [meta["content"] for meta in page.of("meta") if "http-equiv" in meta]
    assert policies == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]
    assert "url(" not in full_page().html()


def test_text_is_escaped() -> None:
    html = full_page().html()
    assert "<title>A &lt;title&gt;</title>" in html
    assert "&lt;b&gt;2 &lt; 3&lt;/b&gt;" in html


def test_every_picture_has_words_and_every_table_a_caption() -> None:
    page = Checker(full_page().html())
    assert all((image["alt"] or "").strip() for image in page.of("img"))
    assert len(page.of("caption")) == 1
    assert "Radiograph: PA, 61 y" in {image["alt"] for image in page.of("img")}


def test_a_picture_without_words_is_refused() -> None:
    with pytest.raises(UsageError, match="a figure needs an alternative text: say in a sentence"):
        figure(plots.bars({"a": 1.0}, x="n"), " ", "caption")
    with pytest.raises(UsageError, match="a film needs an alternative text"):
        film(np.zeros((2, 2), np.uint8), "caption", " ")


def test_links_lead_to_sections() -> None:
    page = Checker(full_page().html())
    targets = [(link["href"] or "").removeprefix("#") for link in page.of("a")]
    assert targets == [section["id"] for section in page.of("section")]
    assert targets == ["in-short", "two-more", "three"]


def test_the_notice_the_lead_and_the_settings_are_there() -> None:
    page = Checker(full_page().html())
    text = " ".join(page.text)
    assert text.count(NOTICE) == 2
    assert "Lead." in text
    assert len(page.of("details")) == 2
    assert re.search(r"Settings and versions\s+seed\s+0", text)


def test_numbers_have_their_decimals_their_interval_and_their_side() -> None:
    html = full_page().html()
    assert '>0.812 <span class="interval">0.700–0.900</span></td>' in html
    assert '<th role="columnheader" scope="col">Finding</th>' in html
    assert '<th role="columnheader" scope="col" class="number">n</th>' in html
    assert '<tr role="row" class="total">' in html


def test_the_undefined_is_a_dash_with_its_reason_below() -> None:
    html = full_page().html()
    assert ">–<sup>a</sup></td>" in html
    assert f'<p class="note"><sup>a</sup> {UNDEFINED.reason}</p>' in html


def test_intervals_and_notes_of_any_cell() -> None:
    odd = Measure(0.5, reason="no interval: few")
    rows = Rows(["a"], [[UNDEFINED], [odd], [odd]], "")
    assert rows.notes == [UNDEFINED.reason, "no interval: few"]
    assert [rows.note(cell) for cell in (UNDEFINED, odd, 1, None)] == ["a", "b", "", ""]
    assert rows.interval(Measure(0.0, -0.1, 0.1)) == "-0.100 to 0.100"
    assert [rows.main(cell) for cell in (0.25, 3, "x", None)] == ["0.250", "3", "x", "–"]


def test_the_notes_do_not_run_out_of_letters() -> None:
    many = Rows(["a"], [[Measure(None, reason=str(i))] for i in range(60)], "")
    letters = [letter for letter, _ in many.lettered_notes]
    assert (letters[0], letters[25], letters[26], letters[53]) == ("a", "z", "aa", "bb")
    assert len(set(letters)) == 60


def test_a_row_must_fit_its_columns() -> None:
    with pytest.raises(UsageError, match="a row has 1 cells for 2 columns"):
        Rows(["a", "b"], [[1]], "caption")


def test_figures_that_follow_each_other_share_a_row() -> None:
    one, two, prose = plot(), plot(), Prose("text")
    assert Section("s", [one, two, prose, one]).groups == [[one, two], [prose], [one]]


def test_the_same_page_is_the_same_file(tmp_path: Path) -> None:
    first, second = (full_page().save(tmp_path / "new" / name) for name in ("a.html", "b.html"))
    assert first.read_bytes() == second.read_bytes()
    assert {path.name for path in first.parent.iterdir()} == {"a.html", "b.html"}


def decoded(source: str) -> bytes:
    return base64.b64decode(source.split(",", 1)[1])


def test_films_are_embedded_to_the_last_grey_value() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (7, 5, 3)).astype(np.uint8)
    embedded = film(pixels, "caption")
    assert (embedded.width, embedded.height) == (5, 7)
    np.testing.assert_array_equal(
        np.array(Image.open(io.BytesIO(decoded(embedded.source)))), pixels
    )


@pytest.mark.parametrize("shape", [(2, 2, 4), (4,)])
def test_a_film_is_grey_or_colour(shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="a film is uint8"):
        film(np.zeros(shape, np.uint8), "caption")
    with pytest.raises(UsageError, match=r"got float32 \(2, 2\)"):
        film(np.zeros((2, 2), np.float32), "caption")


def test_boxes_lie_on_the_film_in_its_pixels() -> None:
    html = full_page().html()
    assert '<svg viewBox="0 0 4 3" aria-hidden="true">' in html
    assert '<rect x="1" y="1" width="2" height="1"><title>Mass</title></rect>' in html


# ------------------------------------------------------------------------------- plots


def measured(*values: float) -> list[Measure]:
    return [Measure(value, value - 0.1, value + 0.1) for value in values]


def drawings() -> dict[str, Plot]:
    vectors = np.random.default_rng(0).normal(size=(50, 4))
    return {
        "training": plots.training_curve(range(90), np.linspace(9, 5, 90), chance=8.3),
        "short training": plots.training_curve([1], [2.0]),
        "forest": plots.forest(["a", "b"], {"one": [*measured(0.7), UNDEFINED]}, chance=None),
        "map": plots.embedding_map(vectors, {"a": vectors[:, 0] > 0, "b": np.full(50, np.nan)}),
        "patients": plots.patient_map(vectors, [str(i // 5) for i in range(50)]),
        "histogram": plots.histogram([3.0, np.nan, 47.0], x="Age (years)", y="n", width=10),
        "empty histogram": plots.histogram([], x="Age (years)", y="n", width=10),
        "bars": plots.bars({"a": 1.0, "b": 0.0}, x="Images"),
    }


@pytest.mark.parametrize("name", list(drawings()))
def test_every_plot_is_drawn_as_lines_and_as_pixels(name: str) -> None:
    drawing = drawings()[name]
    assert decoded(figure(drawing, "alt", "").source).startswith(b"<?xml")
    pixels = Image.open(io.BytesIO(decoded(figure(drawing, "alt", "", as_png=True).source)))
    assert pixels.width == 1000  # five inches
    assert len(np.unique(np.asarray(pixels))) > 5  # something is drawn


def test_plots_leave_the_global_state_of_matplotlib_alone() -> None:
    code = (
        "import sys, hilum.plots; hilum.plots.bars({'a': 1.0}, x='n'); "
        "print('matplotlib.pyplot' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


def test_an_undefined_finding_is_named_and_not_drawn() -> None:
    drawing = plots.forest(["a", "b"], {"one": [*measured(0.7), UNDEFINED]})
    axes = drawing.axes[0]
    texts = [t for t in axes.get_children() if isinstance(t, Annotation)]
    assert [text.get_text() for text in texts] == ["undefined"]
    assert axes.lines[0].get_xdata()[0] == 0.7  # type: ignore[index]


def test_the_plane_holds_the_greatest_variance_with_signs_that_are_fixed() -> None:
    rng = np.random.default_rng(0)
    data = rng.normal(size=(200, 6)) * [1, 5, 1, 3, 1, 1] + 7
    points, shares = plots.principal_plane(data)
    centred = data - data.mean(axis=0)
    singular = np.linalg.svd(centred, compute_uv=False) ** 2
    np.testing.assert_allclose(shares, singular[:2] / singular.sum())
    np.testing.assert_allclose((points**2).sum(axis=0), singular[:2])
    assert np.corrcoef(points[:, 0], data[:, 1])[0, 1] > 0.9
    np.testing.assert_allclose(plots.principal_plane(data[::-1])[0], points[::-1], atol=1e-9)
