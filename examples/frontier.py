"""How far do few labels go? Every way to spend them, beside none and all, in one figure.

    python examples/frontier.py OUT [EPOCHS]

OUT is what `examples/few_labels.py OUT` left.
"""

import sys
from pathlib import Path

import hilum
from hilum.frontier import Design, FewLabels, Measuring, OtherLines, as_text, save


def main(out: Path, epochs: float) -> None:
    few = FewLabels(budgets=(5, 10, 20), strategies=("random", "k-means", "margin"), repeats=2)
    beside = OtherLines(
        encoder=str(out / "run"), full=(("image",),), changes={"epochs": epochs, "batch": 16}
    )
    measuring = Measuring(findings=("Cardiomegaly", "Pleural Effusion"), fewest=1, bootstrap=200)
    collection = hilum.open(out / "chest.lance")
    found = hilum.frontier(
        collection, out / "frontier", Design("moco", few, beside, measuring), told=print
    )
    print(as_text(found))
    print(*save(found, out / "frontier"), sep="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 10.0)
