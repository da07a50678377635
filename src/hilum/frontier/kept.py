"""What was computed before, by its content: a frontier that is killed or extended goes on from it.

An array's name is the sha256 of everything that decided it, so nothing stale can be taken up and
nothing needs to be thrown away when budgets, strategies or seeds are added.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hilum.errors import RunError
from hilum.files import replacing


class Kept:
    """Arrays in a folder.

    Parameters
    ----------
    folder
        Made where it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, kind: str, *decided_by: Any) -> Path:
        """Return the file of an array, by a word for what it is and all that decides it."""
        text = json.dumps([kind, *decided_by], sort_keys=True)
        return self.folder / f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:32]}.npy"

    @staticmethod
    def save(path: Path, array: NDArray[Any]) -> None:
        """Write an array, whole or not at all, whoever else writes it at the same time."""
        with replacing(path, shared=True) as temporary, temporary.open("wb") as file:
            np.save(file, array, allow_pickle=False)

    @staticmethod
    def load(path: Path) -> NDArray[Any]:
        """Read an array.

        Raises
        ------
        RunError
            If the file is damaged.
        """
        try:
            array: NDArray[Any] = np.load(path, allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            raise RunError(f"{path}: damaged ({error}); delete it and start again") from error
        return array
