"""All the labels: a classifier that sees film and earlier visits, and maps of where it looks.

    python examples/all_labels.py OUT [EPOCHS]

OUT is what `examples/few_labels.py OUT` left.
"""

import sys
from pathlib import Path

import hilum
from hilum.explain import read_masks, score_maps


def main(out: Path, epochs: float) -> None:
    collection = hilum.open(out / "chest.lance")
    test = collection.where("split = 'test'")
    findings = ("Cardiomegaly", "Pleural Effusion", "Support Devices")
    model = hilum.train(
        collection, out / "classifier", inputs=("image", "demographics", "history"),
        findings=findings, init=str(out / "run"), epochs=epochs, batch=16,
    )  # fmt: skip
    for when in ("visit = 0", "visit > 0"):  # who comes again is known: tell the two apart
        part = test.where(when)
        if len(part):
            found = hilum.evaluate(hilum.predict(part, model), part.labels(findings=findings))
            print(f"{when}\n{found.to_text()}\n")

    marked = read_masks(out / "hospital", test.ids())
    maps = hilum.explain(test, model, method="layer-cam", marked=marked)
    print(score_maps(maps, marked, test).to_text())


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 10.0)
