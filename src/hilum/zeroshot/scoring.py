"""Encoders meet a collection and a question: every image is encoded once, every sentence once.

Images pass by in batches; what stays in memory is the scores. Vectors are kept in the collection
as an embedding under their encoder's fingerprint, so the next prompts need no pixels. Scores are
never kept: nothing can be out of date.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hilum.errors import CollectionError, UsageError
from hilum.prompts.scores import Floats, Vectors
from hilum.zeroshot.plan import Plan
from hilum.zeroshot.questions import Question
from hilum.zeroshot.sentences import encode_sentences, pair_from

if TYPE_CHECKING:
    from hilum.collection import Collection
    from hilum.encoders import PairEncoder

Batches = Iterator[tuple[Sequence[str], Vectors]]


@dataclass(frozen=True)
class Member:
    """One encoder as it was used.

    Parameters
    ----------
    architecture, source, fingerprint
        Which it is.
    scale
        What its cosines were multiplied by; None for classes, which have no scale.
    embedding
        Where its vectors are kept in the collection; None if they are not.
    """

    architecture: str
    source: str
    fingerprint: str
    scale: float | None
    embedding: str | None


def mean_scores(
    view: "Collection",
    encoders: "Sequence[PairEncoder | str | Path]",
    question: Question,
    plan: Plan,
) -> tuple[tuple[str, ...], Floats, tuple[Member, ...]]:
    """Score every image of a view by each encoder, and average.

    Parameters
    ----------
    view
        The images.
    encoders
        Loaded one after another, so that one is in memory at a time.
    question
        What is asked.
    plan
        The scale, and how images are encoded.

    Returns
    -------
    The ids, the mean scores (n_images, n_columns), and the encoders as they were used.

    Raises
    ------
    WeightsError
        If an encoder cannot be loaded or reads images alone.
    UsageError
        If an encoder is there twice, or a prompt is longer than its context.
    CollectionError
        If images have neither pixels nor vectors, or images came in meanwhile.
    """
    ids = view.ids()
    total = np.zeros((len(ids), len(question.columns)))
    members: list[Member] = []
    for ref in encoders:
        member = _add_scores(total, view, ref, question, plan, ids)
        if member.fingerprint in {one.fingerprint for one in members}:
            raise UsageError(f"the encoder {member.fingerprint[:12]} was given twice; once counts")
        members.append(member)
    return ids, total / len(members), tuple(members)


def _add_scores(
    total: Floats,
    view: "Collection",
    ref: "PairEncoder | str | Path",
    question: Question,
    plan: Plan,
    ids: tuple[str, ...],
) -> Member:
    """Add one encoder's scores (n_images, n_columns) to `total`."""
    pair = pair_from(ref, plan.device)
    scale = plan.scale_of(pair)
    texts = question.vectors(partial(encode_sentences, pair))
    name, batches = _image_vectors(view, pair, plan)
    done = 0
    for images, vectors in batches:
        if tuple(images) != ids[done : done + len(images)]:
            break
        total[done : done + len(images)] += question.scores(vectors, texts, scale or 1.0)
        done += len(images)
    if done != len(ids):
        raise _grown(view)
    spec = pair.spec
    return Member(spec.architecture, spec.source, pair.fingerprint, scale, name)


def _image_vectors(
    view: "Collection", pair: "PairEncoder", plan: Plan
) -> tuple[str | None, Batches]:
    """Return where an encoder's vectors are, and the vectors, encoding what is missing."""
    from hilum.embed import embed

    known = next(
        (name for name, info in view.embeddings.items() if info.fingerprint == pair.fingerprint),
        None,
    )
    if known is not None and view.count_vectors(known) == len(view):
        return known, view.vector_batches(known)
    if not plan.keep:
        return None, _passing(view, pair, plan)
    name = known or f"zeroshot-{pair.fingerprint[:12]}"
    after = embed(view, pair, name, batch_size=plan.batch_size, progress=plan.progress)
    if len(after) != len(view):
        raise _grown(view)
    return name, after.vector_batches(name)


def _grown(view: "Collection") -> CollectionError:
    return CollectionError(f"{view.uri}: images came in while it was scored; run it again")


def _passing(view: "Collection", pair: "PairEncoder", plan: Plan) -> Batches:
    from hilum.embed import encode_rows

    ids = view.ids()
    rows = np.arange(len(ids))
    for part, vectors in encode_rows(pair, view.pixels, rows, plan.batch_size):
        yield [ids[row] for row in part], vectors
        if plan.progress:
            plan.progress(int(part[-1]) + 1, len(ids))
