"""Which images should a radiologist label next? A worklist, its reasons, and the films.

    python examples/select_images.py OUT

OUT is what `examples/few_labels.py OUT` left.
"""

import sys
from pathlib import Path

import hilum


def main(out: Path) -> None:
    collection = hilum.open(out / "chest.lance")
    worklist = hilum.select(
        collection, "moco", 8, "typiclust", where="split = 'train'", per_patient=1,
        key_file=out / "pseudonyms.key",
    )  # fmt: skip
    print(worklist.table())
    worklist.save(out / "worklist.csv")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
