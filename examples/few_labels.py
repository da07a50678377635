"""From a folder of radiographs to an honest few-label answer, in Python.

    python examples/few_labels.py OUT [PATIENTS [STEPS]]

Makes a synthetic hospital in OUT, pretrains on its training patients without labels, "asks a
radiologist" for 50 labels, and measures the result on patients that nobody trained on.
"""

import sys
from pathlib import Path

import numpy as np

import hilum


def main(out: Path, patients: int, steps: int) -> None:
    hospital = hilum.write_hospital(out / "hospital", patients, size=128, seed=0)
    split = (0.6, 0.1, 0.3)  # of patients, into train, val and test
    report = hilum.ingest(hospital, out / "chest.lance", layout="folder", size=128, fractions=split)
    collection = report.collection
    print(f"{len(collection)} images, {sum(report.quarantined.values())} unreadable")

    train = collection.where("split = 'train'")
    encoder = hilum.pretrain(train, out / "run", recipe="moco-small", steps=steps, batch=16)
    collection = hilum.embed(collection, encoder, name="moco")

    # The labels a radiologist would be asked for: here 50 images at random.
    rows = np.random.default_rng(0).choice(len(train), size=min(50, len(train) // 2), replace=False)
    labels = collection.labels("train").take(np.sort(rows))

    scores = hilum.classify(collection, "moco", labels=labels, method="cosine")
    result = hilum.evaluate(scores, collection.labels("test"), by="patient_id")
    print(result.to_text())
    result.save(out / "results")


if __name__ == "__main__":
    main(
        Path(sys.argv[1]),
        int(sys.argv[2]) if len(sys.argv) > 2 else 200,
        int(sys.argv[3]) if len(sys.argv) > 3 else 300,
    )
