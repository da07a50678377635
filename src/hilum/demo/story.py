"""The stages of the main job, in order, each of which can be killed and taken up again."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hilum.errors import UsageError
from hilum.files import write_json
from hilum.frontier import Design, FewLabels, Frontier, Measuring, OtherLines
from hilum.progress import Progress, silent

if TYPE_CHECKING:
    from hilum.collection import Collection

SIZE: Final = 128
"""Side of the synthetic films in pixels."""

PRETRAINED: Final = "moco"
CONTROL: Final = "random"
PAIR_STEPS: Final = 200
"""Of pretraining with reports: a quarter of what the recipe asks for; a demo is short."""

STRATEGIES: Final = ("random", "k-means", "typiclust", "margin")
INPUTS: Final = (("image",), ("image", "demographics", "history"))
EPOCHS: Final = 5.0
FINE_TUNED: Final = (100,)  # numbers of labels that the whole network is taught: a minute each

PROCESSES: Final = 2

Reporter = Callable[[str], Progress]
"""Gives each stage, by its label, a way to report progress."""


@dataclass
class Story:
    """What the demo made, for its page.

    Parameters
    ----------
    folder
        Where everything is.
    patients, seed
        What was asked for.
    frontier
        AUROC against labels.
    seconds
        By stage, how long it took in this run (a finished stage that is taken up takes little).
    """

    folder: Path
    patients: int
    seed: int
    frontier: Frontier | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def uri(self) -> Path:
        """Where the collection is."""
        return self.folder / "collection.lance"

    @property
    def pretraining(self) -> Path:
        """The run that learnt from images alone."""
        return self.folder / "pretraining"

    @property
    def pair(self) -> Path:
        """The run that learnt from images and reports."""
        return self.folder / "reports"

    @property
    def hospital(self) -> Path:
        """The synthetic films, with what was planted."""
        return self.folder / "hospital"

    def collection(self) -> "Collection":
        """Open the collection as it is now."""
        from hilum.collection import open_collection

        return open_collection(self.uri)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage."""
        started = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - started


def tell(
    out: str | Path,
    *,
    patients: int = 600,
    seed: int = 0,
    changes: dict[str, Any] | None = None,
    reporter: Reporter = lambda _: silent,
) -> Path:
    """Make a synthetic hospital, learn from it with no, few and all labels, and tell how far.

    Parameters
    ----------
    out
        A folder, new or of the same demo, which is then taken up where it was left.
    patients
        How many the hospital has.
    seed
        Of everything that is drawn.
    changes
        ``steps`` shortens both pretrainings; other fields are those of the recipe without labels.
    reporter
        Gives each stage a way to report progress.

    Returns
    -------
    The page: ``OUT/report.html``. Beside it are ``results.json`` and the frontier's own files.

    Raises
    ------
    UsageError
        If there are too few patients to hold some out.
    HilumError
        If the folder holds something else.
    """
    if patients < 20:
        raise UsageError(f"the demo needs at least 20 patients to hold some out, got {patients}")
    from hilum.demo.page import write_page
    from hilum.frontier import as_json, save

    story = Story(Path(out), patients, seed)
    _prepare(story, changes or {}, reporter)
    _ask(story, reporter)
    assert story.frontier is not None
    save(story.frontier, story.folder / "frontier")
    page = write_page(story, reporter)
    results = {
        "patients": patients,
        "seed": seed,
        "frontier": as_json(story.frontier),
        "seconds": {name: round(value, 1) for name, value in story.seconds.items()},
    }
    write_json(story.folder / "results.json", results)
    return page


def _prepare(story: Story, changes: dict[str, Any], reporter: Reporter) -> None:
    """From nothing to a collection with two embeddings."""
    from hilum.embed import embed
    from hilum.encoders import random_encoder
    from hilum.ingest import ingest
    from hilum.phantom import write_hospital
    from hilum.training import pretrain, pretrain_reports

    seed = story.seed
    with story.stage("Synthetic hospital"):
        write_hospital(
            story.hospital,
            story.patients,
            size=SIZE,
            seed=seed,
            progress=reporter("Synthetic hospital"),
        )
    with story.stage("Ingest"):
        ingest(
            story.hospital,
            story.uri,
            layout="folder",
            size=SIZE,
            fractions=(0.6, 0.1, 0.3),
            seed=seed,
            progress=reporter("Ingest"),
        )
    with story.stage("Pretraining"):
        train = story.collection().where("split = 'train'")
        short = _batch_for(len(train))
        shown = reporter("Pretraining")
        encoder = pretrain(
            train, story.pretraining, progress=shown, **{"seed": seed, **short, **changes}
        )
    with story.stage("Reports"):
        fewer: dict[str, Any] = {**short, "steps": changes.get("steps", PAIR_STEPS)}
        shown = reporter("Reports")
        start = str(story.pretraining)
        pretrain_reports(train, story.pair, init=start, seed=seed, progress=shown, **fewer)
    with story.stage("Embedding"):
        spec = encoder.spec
        control = random_encoder(spec.architecture, seed, size=spec.size, channels=spec.channels)
        for name, one in ((PRETRAINED, encoder), (CONTROL, control)):
            embed(story.collection(), one, name=name, progress=reporter(f"Embedding {name}"))


def _batch_for(images: int) -> dict[str, int]:
    """Return a smaller batch for a hospital too small for the recipe's: a quarter of it."""
    from hilum.training import RECIPES

    most = 1 << max(2, (images // 4).bit_length() - 1)  # a power of two, so that it divides queues
    return {"batch": most} if most < RECIPES["moco-small"].train.batch else {}


def _ask(story: Story, reporter: Reporter) -> None:
    """From embeddings, reports and labels to the frontier."""
    from hilum.frontier import draw_frontier

    few = FewLabels(
        budgets=(5, 10, 20, 50, 100, 200, 500), strategies=STRATEGIES, controls=(CONTROL,),
        repeats=3, fine_tuned=FINE_TUNED,
    )  # fmt: skip
    others = OtherLines(
        pairs=(str(story.pair),), encoder=str(story.pretraining), full=INPUTS,
        changes={"epochs": EPOCHS, **_batch_for(len(story.collection().where("split = 'train'")))},
    )  # fmt: skip
    design = Design(PRETRAINED, few, others, Measuring(fewest=2), story.seed)
    with story.stage("Frontier"):
        story.frontier = draw_frontier(
            story.collection(), story.folder / "frontier", design, processes=PROCESSES,
            progress=reporter("Frontier"),
        )  # fmt: skip
