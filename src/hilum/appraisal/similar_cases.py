"""Why images are similar, for people: a picture per pair, and one page of a query and its cases."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hilum.appraisal.heat_maps import (
    MAP_FILES,
    NAMES,
    PAGE,
    PICTURES,
    SIDE,
    SMALL,
    Showing,
    Written,
    save_plots,
)
from hilum.appraisal.outputs import clear_own
from hilum.explain.baselines import BASELINES
from hilum.explain.files import ABOUT, save_maps, save_scores
from hilum.explain.insertion import BETTER
from hilum.explain.localisation import ALL, MODEL, Localisation
from hilum.explain.pair_files import CURVES, FIDELITY, X_MIR, save_pair_scores, save_x_mir
from hilum.explain.pair_scores import KINDS, PairScores, of_retrieved
from hilum.progress import Progress, silent
from hilum.report import Cell, Film, Gallery, Page, Prose, Rows, Section, figure, film

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Plot

    from hilum.plots.pairs import Side

ON_A_PAGE: Final = 20  # pairs
PAIR_FILES: Final = (*MAP_FILES, CURVES, *X_MIR, f"{FIDELITY}.csv", f"{FIDELITY}.json")


def write_pairs(
    showing: Showing,
    folder: str | Path,
    fidelity: PairScores | None = None,
    found: Localisation | None = None,
    *,
    x_mir: bool = False,
    most: int = 100,
    progress: Progress = silent,
) -> Written:
    """Write maps of one query's cases, their scores, a picture of each pair, and a page.

    Parameters
    ----------
    showing
        The maps of `explain_similar`, their films and what is marked.
    folder
        Made if absent; what an earlier run wrote there and this one does not is removed.
    fidelity, found
        Insertion and deletion, and what the maps point at, if they were measured.
    x_mir
        Write insertion and deletion as X-MIR does, too.
    most
        The first so many pairs are drawn.
    progress
        Called after every picture.

    Raises
    ------
    UsageError
        If files are there that no run wrote.
    """
    folder = Path(folder)
    clear_own(folder, ABOUT, PAIR_FILES)
    files = [*save_maps(showing.saliency, folder)]
    if fidelity is not None:
        files += save_pair_scores(fidelity, folder)
        files += save_x_mir(fidelity, showing.collection, folder) if x_mir else ()
    if found is not None:
        files += save_scores(found, folder)
    pictures = draw_pairs(showing, folder / PICTURES, most=most, progress=progress)
    files.append(pairs_page(showing, fidelity, found).save(folder / PAGE))
    return Written(tuple(files), pictures)


def draw_pairs(
    showing: Showing, folder: str | Path, *, most: int = 100, progress: Progress = silent
) -> tuple[Path, ...]:
    """Write a picture per pair: query and retrieved image, and both with their maps.

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
    The files, named by rank and image.
    """
    rows = of_retrieved(showing.saliency)[1][:most]
    images = showing.saliency.image_ids
    drawn = (
        (f"{rank:04d}-{images[row]}", picture(showing, row, rank, SIDE))
        for rank, row in enumerate(rows, 1)
    )
    return save_plots(drawn, folder, len(rows), progress)


def picture(showing: Showing, row: int, rank: int, side: int) -> "Plot":
    """Draw the pair of a retrieved image's map.

    Parameters
    ----------
    showing
        The maps.
    row
        Of the map.
    rank
        Of the image, 1 for the nearest.
    side
        Pixels of the longer side of a film.
    """
    from hilum.plots.pairs import pair_maps

    maps = showing.saliency
    image, query = maps.image_ids[row], maps.targets[row]
    made = maps.origin
    title = f"Cosine {maps.logits[row]:.3f}" + ("" if image == query else f", rank {rank}")
    below = f"{NAMES.get(made.method, made.method)} at {made.layer} of {made.model}"
    if shared := showing.marked(row):
        below += f". Marked in both: {', '.join(shared)}"
    return pair_maps(
        _side_of_query(showing, row, side), _side(showing, row, side, f"Retrieved: {image}"),
        title, below,
    )  # fmt: skip


def _side(showing: Showing, row: int, side: int, name: str) -> "Side":
    from hilum.plots.pairs import Side

    shown, said = showing.shown(row, side), showing.saliency.diagnoses[row]
    return Side(
        shown.film, None if said.blank else shown.heat, name, shown.outlines,
        f"No map: {said.words()}" if said.blank else "",
    )  # fmt: skip


def _side_of_query(showing: Showing, row: int, side: int) -> "Side":
    """Return the query with its map beside that of a retrieved image; its film if it has none."""
    from hilum.plots.pairs import Side

    maps = showing.saliency
    image, query = maps.image_ids[row], maps.targets[row]
    named = f"Query: {query}"
    for at in range(len(maps)):
        if (maps.image_ids[at], maps.targets[at]) == (query, image):
            return _side(showing, at, side, named)
    shown = showing.film_of(query, image, side)
    without = "This method maps the retrieved image alone."
    return Side(shown.film, None, named, shown.outlines, without)


def pairs_page(
    showing: Showing, fidelity: PairScores | None = None, found: Localisation | None = None
) -> Page:
    """Make one page of a query and its cases: how far its maps can be believed, and pictures.

    Parameters
    ----------
    showing
        The maps.
    fidelity, found
        Insertion and deletion, and what the maps point at, if they were measured.
    """
    maps = showing.saliency
    made = maps.origin
    query, rows = of_retrieved(maps)
    blank = sum(maps.diagnoses[row].blank for row in rows)
    lead = (
        f"{len(rows)} images beside {query}: why an encoder holds them for similar, by "
        f"{NAMES.get(made.method, made.method)} at {made.layer} of {made.model}. "
        f"{blank or 'None'} of the maps {'is' if blank in (0, 1) else 'are'} blank."
    )
    sections = []
    if fidelity is not None:
        sections.append(fidelity_section(fidelity))
    if found is not None:
        sections.append(_pointing(found))
    sections.append(_gallery(showing))
    settings = asdict(made) | (asdict(fidelity.settings) if fidelity is not None else {})
    return Page("Similar cases", sections, lead, settings)


def fidelity_section(fidelity: PairScores) -> Section:
    """Tell how the likeness of pairs comes and goes: a table, and the mean curves."""
    from hilum.plots.pairs import fidelity_curves

    label = NAMES.get(fidelity.origin.method, fidelity.origin.method)
    rows: list[list[Cell]] = [
        [label if name == MODEL else name, *(own[kind] for kind in KINDS)]
        for name, own in fidelity.means.items()
    ]
    rows += [
        [f"{label} less {name}", *(own[kind] for kind in KINDS)]
        for name, own in fidelity.differences.items()
    ]
    patients = len(set(fidelity.patients))
    intervals = (
        f"{fidelity.level:.0%} intervals from {fidelity.bootstrap} resamples of the queries' "
        f"{patients} patients."
        if patients > 1
        else "One query has no interval: it says nothing of others."
    )
    table = Rows(
        ["Order of the pixels by", *(f"{kind.capitalize()} ({BETTER[kind]})" for kind in KINDS)],
        rows,
        f"Areas under the curves of {len(fidelity)} pairs, {fidelity.settings.steps} steps. "
        + intervals,
    )
    curves = {
        kind: {
            (label if name == MODEL else name): getattr(own, kind).mean(axis=0)
            for name, own in fidelity.curves.items()
        }
        for kind in KINDS
    }
    plot = figure(
        fidelity_curves(curves, BETTER),
        "Mean likeness against the share of pixels put back, and taken away",
        "Means over the pairs. Insertion begins with the retrieved image blurred and puts back "
        "first what the map values most; deletion takes that away first.",
    )
    told = Prose(
        "A map is worth something where the likeness rises sooner, and falls sooner, than in the "
        "order of noise and of a prior for the middle of the image."
    )
    return Section("Insertion and deletion", [told, table, plot])


def _pointing(found: Localisation) -> Section:
    shown = ("pointing", "energy")
    one = found.findings[ALL]
    label = NAMES.get(found.origin.method, found.origin.method)
    rows: list[list[Cell]] = [
        [label if series == MODEL else series, *(one.measures[series][name] for name in shown)]
        for series in (MODEL, *BASELINES)
    ]
    caption = (
        f"{one.n} maps of findings that are marked, by {found.settings.regions}, in the query and "
        "in the retrieved image. Pointing: the share of maps whose highest point lies in the "
        "finding; energy: the share of the map's sum that lies there."
    )
    return Section(
        "What the maps point at", [Rows(["Map", "Pointing", "Energy"], rows, caption, digits=2)]
    )


def _gallery(showing: Showing) -> Section:
    maps = showing.saliency
    query, rows = of_retrieved(maps)
    films = [film(showing.film_of(query, query, SMALL).film, f"Query: {query}")]
    for rank, row in enumerate(rows[:ON_A_PAGE], 1):
        films += list(_pair(showing, row, rank))
    which = f"The first {ON_A_PAGE} of {len(rows)}" if len(rows) > ON_A_PAGE else "All"
    line = "" if showing.regions is None else " The blue line is a finding that both have."
    caption = (
        f"{which}, nearest first. Each map is drawn up to its own highest value, so a faint one "
        f"looks as strong as a strong one.{line}"
    )
    return Section("The cases", [Gallery(films, caption)])


def _pair(showing: Showing, row: int, rank: int) -> Iterator[Film]:
    """Yield a retrieved image with its map, and the query with the one beside it, if it has one."""
    from hilum.plots.heatmaps import outlined, overlay

    maps = showing.saliency
    image = maps.image_ids[row]
    caption = f"Rank {rank}: {image}, cosine {maps.logits[row]:.3f}"
    found, asked = _side(showing, row, SMALL, image), _side_of_query(showing, row, SMALL)
    picture = found.film if found.heat is None else overlay(found.film, found.heat)
    without = f". {found.without}" if found.without else ""
    yield film(outlined(picture, found.outlines), caption + without)
    if asked.heat is not None:
        picture = outlined(overlay(asked.film, asked.heat), asked.outlines)
        yield film(picture, f"The query beside rank {rank}")
