"""Findings without a label: images and their reports teach, sentences ask.

    python examples/ask_in_words.py OUT [STEPS]

OUT is what `examples/few_labels.py OUT` left.
"""

import sys
from pathlib import Path

import hilum


def main(out: Path, steps: int) -> None:
    collection = hilum.open(out / "chest.lance")
    train, test = (collection.where(f"split = '{split}'") for split in ("train", "test"))
    pair = hilum.pretrain_reports(train, out / "reports", steps=steps, batch=16)
    findings = ("Cardiomegaly", "Pleural Effusion", "Support Devices")
    scores = hilum.zeroshot(test, pair, findings)
    print(hilum.evaluate(scores, test.labels(findings=findings)).to_text())

    collection = hilum.embed(collection, pair, name="reports")
    sentence = "large pleural effusion on the left"
    found = hilum.retrieve(collection, "reports", text=sentence, encoder=pair, k=3)
    print(f"nearest to {sentence!r}: {', '.join(found.ids)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 300)
