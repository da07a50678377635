"""The stages of the main job, in order, each of which can be killed and taken up again."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from hilum.demo.curve import Plan, Point, label_curve
from hilum.errors import UsageError
from hilum.progress import Progress, silent

SIZE: Final = 128
"""Side of the synthetic films in pixels."""

PRETRAINED: Final = "moco"
CONTROL: Final = "random"

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
    points
        The curve of AUROC against labels.
    seconds
        By stage, how long it took in this run (a finished stage that is taken up takes none).
    """

    folder: Path
    patients: int
    seed: int
    points: list[Point] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage."""
        started = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - started

    def to_json(self) -> dict[str, Any]:
        """Return settings, curve and times."""
        return {
            "patients": self.patients,
            "seed": self.seed,
            "points": [asdict(point) for point in self.points],
            "seconds": {name: round(value, 1) for name, value in self.seconds.items()},
        }


def tell(
    out: str | Path,
    *,
    patients: int = 600,
    seed: int = 0,
    changes: dict[str, Any] | None = None,
    reporter: Reporter = lambda _: silent,
) -> Path:
    """Make a synthetic hospital, pretrain on it, and find out how far few labels go.

    Parameters
    ----------
    out
        A folder, new or of the same demo, which is then taken up where it was left.
    patients
        How many the hospital has.
    seed
        Of everything that is drawn.
    changes
        Fields of the pretraining recipe to change.
    reporter
        Gives each stage a way to report progress.

    Returns
    -------
    The page: ``OUT/report.html``.

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

    story = Story(Path(out), patients, seed)
    _prepare(story, changes or {}, reporter)
    _ask(story, reporter)
    results = json.dumps(story.to_json(), indent=2, allow_nan=False)
    (story.folder / "results.json").write_text(results + "\n", encoding="utf-8")
    return write_page(story)


def _prepare(story: Story, changes: dict[str, Any], reporter: Reporter) -> None:
    """From nothing to a collection with two embeddings."""
    from hilum.collection import open_collection
    from hilum.embed import embed
    from hilum.encoders import random_encoder
    from hilum.ingest import ingest
    from hilum.phantom import write_hospital
    from hilum.training import pretrain

    folder, seed = story.folder, story.seed
    with story.stage("Synthetic hospital"):
        write_hospital(
            folder / "hospital",
            story.patients,
            size=SIZE,
            seed=seed,
            progress=reporter("Synthetic hospital"),
        )
    with story.stage("Ingest"):
        uri = folder / "collection.lance"
        ingest(
            folder / "hospital",
            uri,
            layout="folder",
            size=SIZE,
            fractions=(0.6, 0.1, 0.3),
            seed=seed,
            progress=reporter("Ingest"),
        )
    with story.stage("Pretraining"):
        train = open_collection(uri).where("split = 'train'")
        changes = {"seed": seed, **_batch_for(len(train)), **changes}
        shown = reporter("Pretraining")
        encoder = pretrain(train, folder / "pretraining", progress=shown, **changes)
    with story.stage("Embedding"):
        spec = encoder.spec
        control = random_encoder(spec.architecture, seed, size=spec.size, channels=spec.channels)
        for name, one in ((PRETRAINED, encoder), (CONTROL, control)):
            embed(open_collection(uri), one, name=name, progress=reporter(f"Embedding {name}"))


def _batch_for(images: int) -> dict[str, int]:
    """Return a smaller batch for a hospital too small for the recipe's: a quarter of it."""
    from hilum.training import RECIPES

    most = 1 << max(2, (images // 4).bit_length() - 1)  # a power of two, so that it divides queues
    return {"batch": most} if most < RECIPES["moco-small"].train.batch else {}


def _ask(story: Story, reporter: Reporter) -> None:
    """From embeddings to the curve."""
    from hilum.collection import open_collection
    from hilum.phantom import FINDINGS

    collection = open_collection(story.folder / "collection.lance")
    plan = Plan((PRETRAINED, CONTROL), findings=tuple(FINDINGS), seed=story.seed)
    with story.stage("Few-label classification"):
        story.points = list(label_curve(collection, plan, reporter("Few-label classification")))
