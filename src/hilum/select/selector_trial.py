"""A selector's school and its trial, on a collection: `hilum selector train`, `test`, `analyse`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hilum.errors import UsageError
from hilum.findings import Policy
from hilum.progress import Progress, silent
from hilum.select.analysis import Analysis, analyse_strategies
from hilum.select.beside import columns
from hilum.select.comparison import Comparison, Design, compare_strategies
from hilum.select.contenders import (
    ORIGINAL,
    SELECTOR,
    Contender,
    by_original,
    by_selector,
    without_labels,
)
from hilum.select.labelled import LabelledVectors, condition, labelled_vectors, refuse_seen_patients
from hilum.select.medselect_files import read_folder, read_medselect
from hilum.select.original_run import RECIPE, Original, load_original, train_original
from hilum.select.selector import SetSelector, load_selector
from hilum.select.selector_run import FILE_NAME, RECIPES, train_selector
from hilum.select.task_plan import TaskPlan, named, split_findings

if TYPE_CHECKING:
    from hilum.collection import Collection


def teach(
    data: LabelledVectors,
    judged: LabelledVectors,
    run: str | Path,
    /,  # `judged` is a field of a recipe as well
    recipe: str = "policy",
    plan: TaskPlan | None = None,
    *,
    encoder: str = "",
    device: str = "auto",
    progress: Progress = silent,
    about: Mapping[str, Any] | None = None,
    **changes: Any,
) -> SetSelector | Original:
    """Train a selector of any recipe.

    Parameters
    ----------
    data, judged
        Images of training patients, and of others that decide which weights are kept.
    run
        A folder, new or of the same run.
    recipe
        A name of `hilum.select.selector_run.RECIPES`, or ``"medselect-2021"``.
    plan
        What tasks look like.
    encoder, device, about, changes
        As in `hilum.select.selector_run.train_selector`.

    Raises
    ------
    LeakError
        If a patient is on both sides.
    UsageError, RunError
        If the recipe, a field of it or the run cannot be used, or a finding is too rare.
    """
    if recipe not in (*RECIPES, RECIPE):
        raise UsageError(f"no recipe {recipe!r}; choose from {', '.join((*RECIPES, RECIPE))}")
    if recipe == RECIPE:
        return train_original(
            data, judged, run, plan,
            encoder=encoder, device=device, progress=progress, about=about, **changes,
        )  # fmt: skip
    seed = int(changes.get("seed", 0))
    return train_selector(
        data.tasks(plan, seed), judged.tasks(plan, seed + 1), run, recipe,
        people=(data.people, judged.people), encoder=encoder, device=device,
        progress=progress, about=about, **changes,
    )  # fmt: skip


def teach_on(
    collection: "Collection",
    embedding: str,
    run: str | Path,
    recipe: str = "policy",
    plan: TaskPlan | None = None,
    *,
    train: str = "train",
    validation: str = "val",
    policy: Policy = "ignore",
    device: str = "auto",
    progress: Progress = silent,
    **changes: Any,
) -> SetSelector | Original:
    """Train a selector on a collection.

    Parameters
    ----------
    embedding
        What it looks at. The weights hold the fingerprint of its encoder.
    train, validation
        Names of splits, or SQL. The weights hold these too, so that no one is tested who taught.
    policy
        What an uncertain label counts as: ``"ignore"``, ``"positive"`` or ``"negative"``.

    Other parameters, and errors, as in `teach` and `hilum.select.labelled.labelled_vectors`.
    """
    data, judged = (
        labelled_vectors(collection, embedding, where, policy) for where in (train, validation)
    )
    return teach(
        data, judged, run, recipe, plan,
        encoder=collection.embeddings[embedding].fingerprint, device=device, progress=progress,
        about={
            "embedding": embedding,
            "train": condition(train),
            "validation": condition(validation),
            "policy": policy,
        },
        **changes,
    )  # fmt: skip


def teach_from_files(
    files: str | Path | Sequence[str | Path], run: str | Path, recipe: str = "policy",
    plan: TaskPlan | None = None, policy: Policy = "positive", **more: Any,
) -> SetSelector | Original:  # fmt: skip
    """Train a selector on MedSelect's own inputs.

    Parameters
    ----------
    files
        A folder with `meta_train` and `meta_val` in it, as `hilum export --to medselect` writes
        it; or four tables, each beside its HDF5 file: positives and normals of training, positives
        and normals of validation.

    Other parameters, and errors, as in `teach` and `hilum.select.medselect_files.read_medselect`.
    """
    about = {"layout": "medselect", "policy": policy}
    data, judged = _both(files, policy)
    return teach(data, judged, run, recipe, plan, about=about, **more)


def _both(
    files: str | Path | Sequence[str | Path], policy: Policy
) -> tuple[LabelledVectors, LabelledVectors]:
    """Read training and validation."""
    if not isinstance(files, str | Path):
        if len(files) != 4:
            raise UsageError(
                "MedSelect's inputs are a folder or four tables: positives and normals of "
                f"training, positives and normals of validation; got {len(files)}"
            )
        return read_medselect(*files, policy=policy)
    parts = read_folder(files, policy, ("train", "val"))
    if missing := {"train", "val"} - set(parts):
        raise UsageError(
            f"{files}: training needs meta_train and meta_val; there is nothing for "
            f"{' and '.join(sorted(missing))}"
        )
    return parts["train"], parts["val"]


@dataclass(frozen=True, eq=False)
class Trial:
    """Who meets on which images.

    Parameters
    ----------
    data
        Images of test patients.
    contenders
        The strategies, the selector first.
    seen, unseen
        Findings that it was trained on, and others.
    about
        Where all this comes from, as JSON types.
    """

    data: LabelledVectors
    contenders: Mapping[str, Contender]
    seen: tuple[str, ...]
    unseen: tuple[str, ...]
    about: Mapping[str, Any]


def prepare_trial(
    collection: "Collection",
    embedding: str,
    selector: str | Path,
    *,
    original: str | Path | None = None,
    strategies: Sequence[str] | None = None,
    where: str = "test",
    findings: Sequence[str] = (),
    external: bool = False,
    policy: Policy = "ignore",
    seed: int = 0,
) -> Trial:
    """Bring a trained selector and the strategies that need no labels together.

    Parameters
    ----------
    selector, original
        Runs or weights files: a selector, and MedSelect of 2021 if there is one.
    strategies
        Names of `STRATEGIES`; all that need no labels if None.
    where
        Which images: the name of a split, or SQL.
    findings
        What to ask about; all but No Finding if empty.
    external
        Say that the selectors have never seen a patient of this collection, which is otherwise
        checked by split.
    policy
        What an uncertain label counts as.
    seed
        Of the picks.

    Raises
    ------
    LeakError
        If a tested patient taught a selector.
    UsageError
        If a selector was trained on another encoder's embeddings, or there is no such strategy or
        finding.
    WeightsError
        If a file is none of these.
    CollectionError
        If the collection lacks what is asked for.
    """
    data = labelled_vectors(collection, embedding, where, policy)
    ours = load_selector(weights_of(selector))
    theirs = None if original is None else load_original(weights_of(original))
    encoder, dim = collection.embeddings[embedding].fingerprint, data.vectors.shape[1]
    for path, one in ((selector, ours.spec), (original, theirs)):
        if one is not None:
            _refuse_other_embeddings(str(path), one.encoder, one.dim, encoder, dim)
            if not external:
                refuse_seen_patients(collection, where, one.provenance)
    beside = columns(data.people, ours.spec.beside) if ours.spec.beside else None
    contenders: dict[str, Contender] = {SELECTOR: by_selector(ours, beside)}
    if theirs is not None:
        contenders[ORIGINAL] = by_original(theirs, theirs.columns(data), seed)
    asked = tuple(named(name, data.findings) for name in findings)
    asked = asked or split_findings(data.findings, ())[0]
    about = {
        "embedding": embedding, "encoder": encoder, "where": condition(where), "policy": policy,
        "external": external, "recipe": ours.spec.recipe, "trained": dict(ours.spec.provenance),
        "trained_pool": ours.spec.pool, "held_out": list(ours.spec.held_out),
        "original_budget": None if theirs is None else theirs.budget,
    }  # fmt: skip
    return Trial(
        data,
        contenders | without_labels(strategies, seed),
        tuple(name for name in asked if name in ours.spec.findings),
        tuple(name for name in asked if name not in ours.spec.findings),
        about,
    )


def try_selector(trial: Trial, *, progress: Progress = silent, **design: Any) -> Comparison:
    """Compare a selector with the other strategies; `design` has other fields of `Design`.

    Raises
    ------
    UsageError
        As in `compare_strategies`.
    """
    asked = Design(seen=trial.seen, unseen=trial.unseen, **design)
    return compare_strategies(
        trial.data, trial.contenders, asked, about=trial.about, progress=progress
    )


def analyse_selector(trial: Trial, *, progress: Progress = silent, **design: Any) -> Analysis:
    """Describe what a selector and others select; `design` has other fields of `Design`.

    Raises
    ------
    UsageError
        As in `analyse_strategies`.
    """
    asked = Design(seen=trial.seen, unseen=trial.unseen, **design)
    return analyse_strategies(
        trial.data, trial.contenders, asked, about=trial.about, progress=progress
    )


def weights_of(path: str | Path) -> Path:
    """Return the weights file of a run, or the file itself."""
    path = Path(path)
    return path / FILE_NAME if path.is_dir() else path


def _refuse_other_embeddings(
    path: str, trained: str, trained_dim: int, encoder: str, dim: int
) -> None:
    if trained and encoder and trained != encoder:
        raise UsageError(
            f"{path} was trained on embeddings of the encoder {trained[:12]}…, these are of "
            f"{encoder[:12]}…: embed the images with that encoder, or train a selector for these"
        )
    if trained_dim != dim:
        raise UsageError(
            f"{path} was trained on embeddings of {trained_dim} numbers, these have {dim}: they "
            "are another encoder's"
        )
