"""From a collection and a budget to the list of images for the radiologist.

The strategies are in `hilum.select.strategies`; here they meet ids, patients and labels. The list
names patients by pseudonym (`hilum.pseudonyms`), never by number.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from hilum.collection.sql import images
from hilum.errors import TableError, UsageError
from hilum.files import replacing
from hilum.findings import Policy
from hilum.pseudonyms import load_key, pseudonym
from hilum.select.labelled import people_of
from hilum.select.pool import Floats, Pool, Rows, Settings, Strategy
from hilum.select.strategies import STRATEGIES
from hilum.tables import Table, label_values, read_table

if TYPE_CHECKING:
    from hilum.collection import Collection

DEFAULT_STRATEGY: Final = "k-means"
MEDSELECT: Final = "medselect"


@dataclass(frozen=True, eq=False)
class Worklist:
    """Images to label, best first.

    Parameters
    ----------
    ids, patients : (k,)
        The images, and the pseudonyms of their patients.
    scores : (k,)
        What the strategy went by; NaN where it went by nothing.
    why : (k,)
        The reason for each pick.
    strategy
        The name of the strategy.
    note
        What whoever labels should know; "" for nothing.
    """

    ids: tuple[str, ...]
    patients: tuple[str, ...]
    scores: Floats
    why: tuple[str, ...]
    strategy: str
    note: str = ""

    def __len__(self) -> int:
        return len(self.ids)

    def table(self) -> pl.DataFrame:
        """Return the list as columns rank (from 1), image_id, patient, score and why."""
        return pl.DataFrame(
            {
                "rank": range(1, len(self) + 1),
                "image_id": self.ids,
                "patient": self.patients,
                "score": pl.Series(self.scores).fill_nan(None),
                "why": self.why,
            }
        )

    def save(self, path: str | Path) -> Path:
        """Write the list as CSV; the file appears complete or not at all."""
        path = Path(path)
        with replacing(path) as temporary:
            self.table().write_csv(temporary)
        return path


def select(
    collection: "Collection",
    embedding: str,
    budget: int,
    strategy: str | None = None,
    *,
    labelled: Table | str | Path | None = None,
    policy: Policy = "ignore",
    per_patient: int | None = None,
    where: str | None = None,
    selector: str | Path | None = None,
    seed: int = 0,
    key_file: Path | None = None,
) -> Worklist:
    """Choose the images of a collection that are worth a radiologist's time.

    Parameters
    ----------
    collection
        A view; every image of it needs a vector.
    embedding
        Its name.
    budget
        How many images to choose.
    strategy
        A key of `STRATEGIES`, or ``"medselect"``. By default `DEFAULT_STRATEGY`, or medselect
        where a selector is given.
    labelled
        A table of the labels there are, or its CSV file. An image with any label in it, uncertain
        ones included, is not picked again. The collection's own labels are not looked at.
    policy
        What an uncertain label counts as where a strategy learns from labels: ``"ignore"``,
        ``"positive"`` or ``"negative"``.
    per_patient
        At most so many images of one patient, those that are labelled already included.
    where
        SQL: pick only among images that fulfil it (`Collection.where`).
    selector
        The weights of a trained selector, for medselect.
    seed
        Of everything random: the same seed gives the same list.
    key_file
        The key of the pseudonyms (`hilum.pseudonyms.load_key`).

    Raises
    ------
    UsageError
        If there is no such strategy or policy, the budget is more than what is left, labels
        do not suffice for a strategy that learns from them, or the selector was trained on
        another encoder's embeddings.
    TableError
        If a labelled id is not in the collection, or a label is not 1, 0, -1 or unknown.
    CollectionError
        If there is no such embedding, images have no vector, or `where` cannot be evaluated.
    """
    info = collection.embeddings.get(embedding)  # if there is none, `vectors` says so below
    name, chosen = _strategy(strategy, selector, info.fingerprint if info else "")
    if policy == "keep":
        raise UsageError("choose what an uncertain label counts as: ignore, positive or negative")
    key = load_key(key_file)
    labels = read_table(labelled) if isinstance(labelled, str | Path) else labelled
    pool, patients = _pool(collection, embedding, labels, policy, where)
    picks = chosen.pick(pool, budget, Settings(per_patient), np.random.default_rng(seed))
    rows = picks.rows.tolist()
    return Worklist(
        ids=tuple(pool.ids[row] for row in rows),
        patients=tuple(pseudonym(key, "patient", patients[row]) for row in rows),
        scores=picks.scores,
        why=picks.why,
        strategy=name,
        note=picks.note,
    )


def _strategy(name: str | None, selector: str | Path | None, encoder: str) -> tuple[str, Strategy]:
    name = name or (DEFAULT_STRATEGY if selector is None else MEDSELECT)
    if name == MEDSELECT:
        if selector is None:
            raise UsageError(
                "medselect needs the weights of a trained selector (--selector FILE); "
                "train one with: hilum selector train"
            )
        from hilum.select.trained import selector_strategy

        return name, selector_strategy(selector, encoder)
    if selector is not None:
        raise UsageError(f"a selector is for the strategy medselect, not for {name}")
    if name not in STRATEGIES:
        known = ", ".join([*STRATEGIES, MEDSELECT])
        raise UsageError(f"{name!r} is not a strategy; choose from {known}")
    return name, STRATEGIES[name]


# --------------------------------------------------------------------------- the pool


def _pool(
    collection: "Collection",
    embedding: str,
    labels: Table | None,
    policy: Policy,
    where: str | None,
) -> tuple[Pool, pl.Series]:
    """Return what there is to choose from, and each row's patient."""
    table = _with_labels(collection, labels)
    view = _candidates(collection, where, table.ids)
    ids, vectors = view.vectors(embedding)
    about = view.table(["patient_id", "age", "sex", "view"])
    people = people_of(about)
    target = label_values(table, policy).astype(np.float64)
    pool = Pool(
        vectors,
        ids,
        patients=_numbered(about["patient_id"]),
        labelled=_rows_of(table.ids, ids),
        labels=target,
        findings=table.findings,
        age=people.age.astype(np.float32),
        sex=people.female.astype(np.float32),
        frontal=people.frontal.astype(np.float32),
        ap=people.ap.astype(np.float32),
    )
    return pool, about["patient_id"]


def _with_labels(collection: "Collection", labels: Table | None) -> Table:
    """Return the rows that hold a label, uncertain ones included; all ids must be known."""
    if labels is None:
        return Table((), (), np.empty((0, 0)))
    unknown = set(labels.ids) - set(collection.ids())
    if unknown:
        first = next(image for image in labels.ids if image in unknown)
        raise TableError(
            f"{len(unknown)} of {len(labels)} labelled ids are not in the collection, the first "
            f"is {first!r}; are the labels of this collection?"
        )
    return labels.take(~np.isnan(labels.values).all(axis=1))


def _candidates(
    collection: "Collection", where: str | None, labelled: Sequence[str]
) -> "Collection":
    """Return the images to pick among, together with the labelled ones, wherever they are."""
    if where is None:
        return collection
    view = collection.where(where)
    if not len(view):
        raise UsageError(f"no image of the collection fulfils {where!r}")
    if not labelled:
        return view
    return collection.where(f"({where}) OR {images(labelled)}")


def _rows_of(wanted: Sequence[str], ids: Sequence[str]) -> Rows:
    place = {image: row for row, image in enumerate(ids)} if wanted else {}
    return np.array([place[image] for image in wanted], dtype=np.int64)


def _numbered(patients: pl.Series) -> Rows:
    return patients.rank("dense").to_numpy().astype(np.int64)
