"""What the demo's page tells beside the frontier: what to label, in words, alike, and where."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hilum.demo.readers import READERS, SENSITIVITY, SPECIFICITY, simulated_readers
from hilum.demo.story import PRETRAINED, Reporter, Story
from hilum.report import Block, Cell, Gallery, Prose, Rows, Section, film

if TYPE_CHECKING:
    from hilum.collection import Collection
    from hilum.explain.pair_scores import PairScores
    from hilum.tables import Table

PICKS: Final = 10
QUERIES: Final = 2
NEIGHBOURS: Final = 5
MAPPED: Final = 80  # test images with a mask whose maps are scored
STEPS: Final = 24  # of insertion and deletion: enough for a mean over pairs

WHY: Final[dict[str, dict[str, Any]]] = {
    # windows a little larger and further apart than X-MIR's: a tenth of its forwards
    "sbsm": {"window": 14, "stride": 6},
    "simcam": {},
    "simatt": {},
}
ASKED: Final = "Pleural Effusion"


def which_to_label(story: Story) -> Section:
    """Show the first images that a radiologist would be given, and why each."""
    from hilum.select import select

    train = story.collection().where("split = 'train'")
    budget = min(PICKS, len(train) - 1)
    listed = select(train, PRETRAINED, budget, "k-means", seed=story.seed,
                    key_file=story.folder / "pseudonyms.key")  # fmt: skip
    place = {image: row for row, image in enumerate(train.ids())}
    pixels = train.pixels([place[image] for image in listed.ids])
    films = [
        film(image, f"{rank}. {why}", f"Synthetic radiograph, number {rank} to label: {why}")
        for rank, (image, why) in enumerate(zip(pixels, listed.why, strict=True), start=1)
    ]
    return Section(
        "The images to label first, and why",
        [
            Prose(
                f"{budget} images of training patients, chosen without a label by k-means on the "
                "pretrained embedding: each is the one nearest to the centre of a cluster, so that "
                "together they show what the collection holds."
            ),
            Gallery(films, "In the order of the list that a radiologist gets."),
        ],
    )


def in_words(story: Story, reporter: Reporter) -> list[Section]:
    """Tell how sentences alone do beside readers, and how far their scores can be believed."""
    from hilum.appraisal.page import page
    from hilum.appraisal.record import Appraisal
    from hilum.evaluate import evaluate
    from hilum.zeroshot import zeroshot

    assert story.frontier is not None
    findings, films = story.frontier.findings, story.collection()
    sides = {}
    for split in ("val", "test"):
        view = films.where(f"split = '{split}'")
        shown = reporter("Zero-shot")
        scores = zeroshot(view, story.pair, findings, keep=False, progress=shown)
        sides[split] = scores, view.labels(findings=findings)
    scores, truth = sides["test"]
    readers = simulated_readers(truth, story.seed)
    tuned = _tunable(sides["val"][1])
    fitted: dict[str, Any] = {"threshold": "mcc", "calibrate": "platt", "validation": sides["val"]}
    more = fitted if tuned else {}
    found = evaluate(scores, truth, readers=readers, seed=story.seed, **more)
    appraisal = Appraisal(found, scores, truth, names=("sentences", ""))
    told = {section.title: section for section in page(appraisal).sections}
    intro = Prose(
        "Pairs of sentences such as “edema” and “no edema” are compared with each film; no label "
        "taught the network that compares them. Beside it stand "
        f"{READERS} readers who do not exist: what was planted, misread with a sensitivity of "
        f"{SENSITIVITY[0]:.0%} to {SENSITIVITY[1]:.0%} and a specificity of {SPECIFICITY[0]:.0%} "
        f"to {SPECIFICITY[1]:.0%}. "
        + (
            "Thresholds and calibration were fitted to validation patients."
            if tuned
            else "There are too few validation patients to fit thresholds or calibration."
        )
    )
    out = [Section("Sentences beside readers, finding by finding", [intro])]
    for name in ("Findings", "Finding by finding", "Readers"):
        if name in told:
            out[0] = Section(out[0].title, [*out[0].blocks, *_short(told[name].blocks)])
    if "Calibration" in told:
        out.append(Section("Can the scores be believed?", told["Calibration"].blocks))
    return out


def _short(blocks: Sequence[Block]) -> list[Block]:
    """Leave out tables beyond the first: the figures show what they hold."""
    tables = [block for block in blocks if isinstance(block, Rows)]
    return [block for block in blocks if block not in tables[1:]]


def _tunable(truth: "Table") -> bool:
    """Tell whether every finding has a few of both classes among the validation images."""
    counts = [(truth.values == value).sum(axis=0) for value in (0, 1)]
    return bool(min(counts[0].min(), counts[1].min()) >= 3)


def where_it_looks(story: Story, reporter: Reporter) -> list[Section]:
    """Map what the fully supervised network sees, and score the maps against what was planted."""
    from hilum.appraisal.heat_maps import Showing, maps_page
    from hilum.errors import UsageError
    from hilum.explain import explain, read_masks, score_maps

    if (run := network_run(story)) is None:
        return []
    test = story.collection().where("split = 'test'")
    marked = read_masks(story.hospital, test.ids()[:MAPPED])
    try:
        maps = explain(test, run, test.ids()[:MAPPED], method="layer-cam", marked=marked,
                       progress=reporter("Heat maps"))  # fmt: skip
    except UsageError:  # a tiny hospital, in which nothing that the network knows was planted
        return []
    found = score_maps(maps, marked, test, draws=3, seed=story.seed,
                       progress=reporter("Heat maps, scored"))  # fmt: skip
    told = maps_page(Showing(maps, test, marked), found)
    scores, *galleries = told.sections
    shown: list[Block] = []
    for one in galleries[:3]:
        shown += [Prose(f"{one.title}:"), *one.blocks]
    intro = Prose(
        "The network that was taught all labels from the image alone, and LayerCAM of its logit: "
        "where in the film it sees what speaks for a finding, against the masks of what was "
        "planted."
    )
    return [Section("Where it looks, and whether that is right", [intro, *shown, *scores.blocks])]


def network_run(story: Story) -> Path | None:
    """Return the run of the network that sees the image alone; None if it could not be taught."""
    assert story.frontier is not None
    for line in story.frontier.of("full"):
        if line.name == "network: image" and line.runs:
            return story.folder / "frontier" / line.runs[0]
    return None


def what_is_alike(story: Story, reporter: Reporter) -> list[Section]:
    """Show a query with its nearest cases and why they are, and how far the maps can be trusted."""
    from hilum.appraisal.heat_maps import Showing
    from hilum.appraisal.similar_cases import pairs_page
    from hilum.explain import read_masks
    from hilum.explain.insertion import Steps
    from hilum.explain.pair_scores import score_pairs
    from hilum.explain.similarity import compared, explain_similar
    from hilum.retrieve import retrieve

    films = story.collection()
    network, marked = compared(story.pretraining), read_masks(story.hospital, films.ids())
    queries = _queries(films)
    progress = reporter("Similar cases")
    fidelity: dict[str, PairScores] = {}
    shown: list[Block] = []
    for method, settings in WHY.items():
        maps = []
        for query in queries:
            near = retrieve(films, PRETRAINED, like=query, k=min(NEIGHBOURS, len(films) - 1))
            maps.append(
                explain_similar(films, network, query, near.ids, method=method, settings=settings)
            )
        fidelity[method] = score_pairs(maps, films, network, Steps(steps=STEPS), seed=story.seed)
        progress(len(fidelity), len(WHY), method)
        if not shown:
            pages = pairs_page(Showing(maps[0], films, marked)).sections
            shown = [block for section in pages for block in section.blocks]
    told = Prose(
        f"The query is a film of a test patient with {ASKED.lower()}; the others are the nearest "
        "of all films of other patients. What is marked on each would, if it were hidden, move it "
        "away from the query (SBSM)."
    )
    cases = Section("A case, its nearest, and why they are near", [told, *shown])
    return [cases, _fidelity(fidelity)]


def _queries(films: "Collection") -> list[str]:
    test = films.where("split = 'test'")
    table = test.table(["image_id", ASKED] if ASKED in films.findings else ["image_id"])
    rows = table.filter(table[ASKED] == 1) if ASKED in table.columns else table
    rows = rows if rows.height else table
    return [str(one) for one in rows["image_id"].to_list()[:QUERIES]]


def _fidelity(found: "dict[str, PairScores]") -> Section:
    from hilum.appraisal.heat_maps import NAMES
    from hilum.explain.pair_scores import KINDS

    first = next(iter(found.values()))
    rows: list[list[Cell]] = [
        [NAMES[method], *(one.means["model"][kind] for kind in KINDS)]
        for method, one in found.items()
    ]
    rows += [
        [name, *(first.means[name][kind] for kind in KINDS)]
        for name in first.means
        if name != "model"
    ]
    told = Prose(
        "A map is believed as far as it says what matters. Pixels of the similar film are put into "
        "its blurred copy in the order of the map (insertion), or taken out of it (deletion), and "
        "the likeness to the query is followed: a map that is right lets it rise early and fall "
        "early. A map that does no better than noise, or than a guess at the middle, explains "
        "nothing."
    )
    caption = (
        f"Area below the curve of the cosine to the query, mean over {len(first)} pairs; insertion "
        "is better high, deletion better low."
    )
    columns = ["Map", "Insertion", "Deletion"]
    return Section("Do the maps of likeness hold?", [told, Rows(columns, rows, caption)])
