"""Heat maps for people: a picture per map, and one page of them with what they are worth."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from hilum.appraisal.outputs import clear_own
from hilum.explain.baselines import BASELINES
from hilum.explain.cam import ALIKE_FOR_ALL, for_it
from hilum.explain.files import ABOUT, MAPS, SCORES, save_maps, save_scores
from hilum.explain.localisation import ALL, BEST, MEAN, MODEL, Localisation
from hilum.explain.regions import Regions
from hilum.explain.saliency import Saliency, in_original
from hilum.images import Geometry
from hilum.progress import Progress, silent
from hilum.report import Cell, Gallery, Page, Prose, Rows, Section, film

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Plot

    from hilum.collection import Collection

Picture = NDArray[np.uint8]
Outline = NDArray[np.float64]

PICTURES: Final = "pictures"
PAGE: Final = "report.html"
MAP_FILES: Final = (MAPS, ABOUT, f"{SCORES}.csv", f"{SCORES}.json", PAGE, f"{PICTURES}/*.png")
SIDE: Final = 640  # pixels of the longer side of a film in a picture
SMALL: Final = 224  # ... on a page
ON_A_PAGE: Final = 8  # maps of one finding

SHOWN: Final = ("pointing", "pointing_near", "energy", BEST)
NAMES: Final = {
    "grad-cam": "Grad-CAM", "grad-cam++": "Grad-CAM++", "hires-cam": "HiResCAM",
    "layer-cam": "LayerCAM", "eigen-cam": "Eigen-CAM", "sbsm": "SBSM", "simcam": "SimCAM",
    "simatt": "Similarity attention", "feature-masks": "Feature masking",
    "score-cam": "Score-CAM of similarity", "rise": "RISE of similarity",
    "relevance": "Relevance by examples",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Shown:
    """One map as it is drawn.

    Parameters
    ----------
    film : (height, width)
        The image without its padding.
    heat : (height, width)
        0 to 1, the map's own highest value.
    outlines
        What is marked.
    """

    film: Picture
    heat: NDArray[np.float32]
    outlines: list[Outline]


class Showing:
    """Maps with their films and what is marked in them.

    Parameters
    ----------
    saliency
        The maps.
    collection
        Where the films are.
    regions
        What is marked; nothing if None.
    """

    def __init__(
        self, saliency: Saliency, collection: "Collection", regions: Regions | None = None
    ) -> None:
        self.saliency, self.collection, self.regions = saliency, collection, regions
        self._place = {image: row for row, image in enumerate(collection.ids())}
        known = [name for name in dict.fromkeys(saliency.targets) if name in collection.findings]
        self._labels = collection.labels(findings=known) if known else None

    def shown(self, row: int, side: int) -> Shown:
        """Return one map at a size: `side` pixels on its longer side."""
        saliency = self.saliency
        image, frame = saliency.image_ids[row], saliency.geometries[row]
        drawn = _drawn(frame, side)
        heat = in_original(for_it(saliency.signed[row]), drawn, saliency.origin.offset)
        highest = heat.max()
        return Shown(
            self._film(image, frame, drawn),
            heat / highest if highest > 0 else heat,
            self._outlines(image, self.marked(row), frame, drawn),
        )

    def film_of(self, image: str, other: str, side: int) -> Shown:
        """Return a film without a map, and in it what is marked in another one, too."""
        [frame] = self.collection.where(
            "image_id = '{}'".format(image.replace("'", "''"))
        ).table(["geometry"])["geometry"]  # fmt: skip
        geometry = Geometry(**frame)
        drawn = _drawn(geometry, side)
        return Shown(
            self._film(image, geometry, drawn),
            np.zeros((drawn.height, drawn.width), np.float32),
            self._outlines(image, self._shared(image, other), geometry, drawn),
        )

    def _film(self, image: str, frame: Geometry, drawn: Geometry) -> Picture:
        pixels = self.collection.pixels([self._place[image]])[0]
        content = pixels[
            frame.top : frame.top + frame.content_height,
            frame.left : frame.left + frame.content_width,
        ]
        how = cv2.INTER_AREA if drawn.width < frame.content_width else cv2.INTER_CUBIC
        size = (drawn.width, drawn.height)
        picture = cv2.resize(np.ascontiguousarray(content), size, interpolation=how)
        return np.asarray(picture, np.uint8)

    def marked(self, row: int) -> list[str]:
        """Return what is marked that a map is to point at: its finding, or all that a pair shares.

        Of a map that says why two images are similar, those findings count that are marked in
        both.
        """
        image, target = self.saliency.image_ids[row], self.saliency.targets[row]
        if self.saliency.origin.explains == "pair":
            return self._shared(image, target)
        there = self.regions is not None and self.regions.has(image, target)
        return [target] if there else []

    def _shared(self, image: str, other: str) -> list[str]:
        if self.regions is None:
            return []
        has = self.regions.has
        return [one for one in self.regions.findings if has(image, one) and has(other, one)]

    def _outlines(
        self, image: str, findings: list[str], frame: Geometry, drawn: Geometry
    ) -> list[Outline]:
        from hilum.plots.heatmaps import box_outline, outlines_of

        found: list[Outline] = []
        scale = drawn.width / frame.width, drawn.height / frame.height
        for finding in findings:
            assert self.regions is not None
            boxes = self.regions.outline(image, finding)
            if len(boxes):
                found += [box_outline(*(box * (*scale, *scale))) for box in boxes]
                continue
            mask = self.regions.mask(image, finding, frame).astype(np.float32)
            smooth = cv2.resize(mask, (drawn.width, drawn.height), interpolation=cv2.INTER_LINEAR)
            found += outlines_of(smooth >= 0.5)
        return found

    def title(self, row: int) -> str:
        """Return what is looked for, the score, and the label where there is one."""
        name = self.saliency.targets[row]
        said = f"{name}: score {self.saliency.scores[row]:.2f}"
        if self._labels is None or name not in self._labels.findings:
            return said
        at = self._labels.ids.index(self.saliency.image_ids[row])
        words = {1.0: "present", 0.0: "absent", -1.0: "uncertain"}
        label = words.get(float(self._labels.column(name)[at]))
        return f"{said}, labelled {label}" if label else said

    def below(self, row: int) -> str:
        """Return how the map was made, and of which image."""
        made = self.saliency.origin
        image = self.saliency.image_ids[row]
        return f"{NAMES[made.method]} at {made.layer} of {made.model}; image {image}"


def _drawn(frame: Geometry, side: int) -> Geometry:
    """Return an image's geometry as if the original had `side` pixels on its longer side."""
    scale = side / max(frame.width, frame.height)
    width, height = (max(1, round(scale * n)) for n in (frame.width, frame.height))
    return replace(frame, width=width, height=height)


def draw_maps(
    showing: Showing, folder: str | Path, *, most: int = 100, progress: Progress = silent
) -> tuple[Path, ...]:
    """Write a picture per map: the film, and the film with the map, both with what is marked.

    Parameters
    ----------
    showing
        The maps.
    folder
        Made if absent.
    most
        The first so many are drawn.

    Returns
    -------
    The files, named by place in the table of maps, image and finding.
    """
    from hilum.plots.heatmaps import heat_map

    def drawn() -> Iterator[tuple[str, "Plot"]]:
        for row in range(count):
            one, said = showing.shown(row, SIDE), showing.saliency.diagnoses[row]
            plot = heat_map(
                one.film, one.heat, showing.title(row), showing.below(row), one.outlines,
                said.words() if said.blank else "",
            )  # fmt: skip
            image, finding = showing.saliency.image_ids[row], showing.saliency.targets[row]
            yield f"{row:04d}-{image}-{finding}", plot

    count = min(most, len(showing.saliency))
    return save_plots(drawn(), folder, count, progress)


def save_plots(
    drawn: "Iterable[tuple[str, Plot]]", folder: str | Path, count: int, progress: Progress
) -> tuple[Path, ...]:
    """Write figures as PNG into a folder, made if absent; return the files.

    Parameters
    ----------
    drawn
        Names, of which what no file system minds is kept, and figures.
    count
        How many there are, for `progress`.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for name, plot in drawn:
        written.append(folder / f"{re.sub(r'[^A-Za-z0-9._-]+', '_', name)}.png")
        plot.savefig(written[-1], dpi=200, metadata={"Software": None})
        progress(len(written), count)
    return tuple(written)


@dataclass(frozen=True)
class Written:
    """The files of some maps: arrays, tables and page; and a picture per map."""

    files: tuple[Path, ...]
    pictures: tuple[Path, ...]


def write_maps(
    showing: Showing,
    folder: str | Path,
    found: Localisation | None = None,
    *,
    most: int = 100,
    progress: Progress = silent,
) -> Written:
    """Write maps, their scores, a picture of each, and a page (`docs/formats.md`).

    Parameters
    ----------
    showing, found
        The maps, and their scores if there are any.
    folder
        Made if absent; what an earlier run wrote there and this one does not is removed.
    most
        The first so many are drawn.
    progress
        Called after every picture.

    Raises
    ------
    UsageError
        If files are there that no run wrote.
    """
    folder = Path(folder)
    clear_own(folder, ABOUT, MAP_FILES)
    files = [*save_maps(showing.saliency, folder)]
    if found is not None:
        files += save_scores(found, folder)
    pictures = draw_maps(showing, folder / PICTURES, most=most, progress=progress)
    files.append(maps_page(showing, found).save(folder / PAGE))
    return Written(tuple(files), pictures)


def maps_page(showing: Showing, found: Localisation | None = None) -> Page:
    """Make one page of the maps: what they score, how many are blank, and pictures by finding.

    Parameters
    ----------
    showing
        The maps.
    found
        Their scores against what is marked, if there are any.
    """
    saliency = showing.saliency
    made = saliency.origin
    images = len(set(saliency.image_ids))
    blank = sum(one.blank for one in saliency.diagnoses)
    lead = (
        f"{len(saliency)} maps of {images} images: {NAMES[made.method]} at {made.layer} of "
        f"{made.model}. {blank or 'None'} of them {'is' if blank in (0, 1) else 'are'} blank."
    )
    if made.method in ALIKE_FOR_ALL:
        lead += " This method does not look at the finding: the map is the same for each."
    sections = [_scores(found)] if found is not None else []
    if blank:
        sections.append(_blank(saliency))
    sections += list(_galleries(showing))
    settings = asdict(made) | (asdict(found.settings) if found is not None else {})
    return Page("Heat maps", sections, lead, settings)


def _scores(found: Localisation) -> Section:
    means = [name for name in (MEAN, ALL) if name in found.findings]
    others = [name for name in found.findings if name not in means]
    rows: list[list[Cell]] = []
    for finding in (*means, *others):
        one = found.findings[finding]
        for series in (MODEL, *BASELINES):
            named: list[Cell] = [finding, one.n] if series == MODEL else ["", ""]
            rows.append([*named, series, *(one.measures[series][name] for name in SHOWN)])
    how = found.settings
    caption = (
        f"Against {how.regions}, with {how.level:.0%} intervals from {how.bootstrap} resamples of "
        "patients. Pointing: the share of maps whose highest point lies in what is marked; near: "
        f"within {how.tolerance:.0%} of the image's longer side of it. Energy: the share of the "
        "map's sum that lies there. IoU: intersection over union, at the best threshold for all "
        "maps. A blank map counts as 0."
    )
    columns = ["Finding", "Maps", "Map", "Pointing", "Near", "Energy", "IoU"]
    told = Prose(
        "A map is worth something where the model's beats all three: noise, a prior for the middle "
        "of the image, and the model's own map of another patient with the same finding, which "
        "knows where the finding usually is and nothing of this image."
    )
    return Section("What the maps point at", [told, Rows(columns, rows, caption, digits=2)])


def _blank(saliency: Saliency) -> Section:
    counts = Counter(
        (saliency.targets[row], _reason(one.words()))
        for row, one in enumerate(saliency.diagnoses)
        if one.blank
    )
    rows: list[list[Cell]] = [
        [finding, words, number] for (finding, words), number in sorted(counts.items())
    ]
    caption = "Maps with nothing to draw. They are never drawn as maps, and score 0."
    return Section("Blank maps", [Rows(["Finding", "Why", "Maps"], rows, caption)])


def _reason(words: str) -> str:
    return re.sub(r" \(from .*\)", "", words)


def _galleries(showing: Showing) -> Iterator[Section]:
    from hilum.plots.heatmaps import outlined, overlay

    saliency = showing.saliency
    for finding in dict.fromkeys(saliency.targets):
        rows = [row for row, one in enumerate(saliency.targets) if one == finding]
        films = []
        for row in rows[:ON_A_PAGE]:
            one, blank = showing.shown(row, SMALL), saliency.diagnoses[row].blank
            picture = one.film if blank else overlay(one.film, one.heat)
            caption = showing.title(row).removeprefix(f"{finding}: ")
            caption += ". No map: " + _reason(saliency.diagnoses[row].words()) if blank else ""
            films.append(film(outlined(picture, one.outlines), _sentence(caption)))
        yield Section(finding, [Gallery(films, _caption(len(rows), len(films), showing.regions))])


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


def _caption(count: int, shown: int, regions: Regions | None) -> str:
    which = f"The first {shown} of {count}" if shown < count else f"All {count}"
    line = f" The blue line is what {regions.kind} mark." if regions is not None else ""
    return (
        f"{which}, in the order of the collection; none was chosen. Each map is drawn up to its "
        f"own highest value, so a faint one looks as strong as a strong one.{line}"
    )
