"""The nearest cases to a film, why the encoder holds them for similar, and whether that is true.

    python examples/similar_cases.py OUT

OUT is what `examples/few_labels.py OUT` left.
"""

import sys
from pathlib import Path

import hilum
from hilum.explain.insertion import Steps
from hilum.explain.pair_scores import score_pairs
from hilum.explain.similarity import compared


def main(out: Path) -> None:
    collection = hilum.open(out / "chest.lance")
    query = collection.where("split = 'test'").ids()[0]
    cases = hilum.retrieve(collection, "moco", like=query, k=5)  # never of the same patient
    print(cases.table())

    network = compared(out / "run")
    maps = hilum.explain_similar(collection, network, query, cases.ids, method="simcam")
    print(score_pairs([maps], collection, network, Steps(steps=16), bootstrap=0).to_text())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
