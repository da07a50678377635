"""What became of a foreign checkpoint: every entry used, or dropped for a reason."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Conversion:
    """What became of every entry of a foreign checkpoint.

    Parameters
    ----------
    architecture
        The architecture that was recognised: a timm name, or ``open_clip:NAME``.
    used
        Tensors that are in the encoder, under their names in the checkpoint.
    dropped
        Other entries, with the reason for each.
    notes
        What else the checkpoint says: epochs trained, length of the queue, sizes.
    path, fingerprint
        The file written and the encoder in it.
    """

    architecture: str
    used: tuple[str, ...]
    dropped: Mapping[str, str]
    notes: Mapping[str, Any]
    path: Path
    fingerprint: str

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON types."""
        return {
            "architecture": self.architecture,
            "used": list(self.used),
            "dropped": dict(self.dropped),
            "notes": dict(self.notes),
            "path": str(self.path),
            "fingerprint": self.fingerprint,
        }

    def as_text(self) -> str:
        """Return the report for a person."""
        lines = [f"{self.path}: {self.architecture}, fingerprint {self.fingerprint[:12]}"]
        lines.append(f"used: {len(self.used)} tensors")
        reasons = sorted(set(self.dropped.values()))
        for reason in reasons:
            names = [name for name, why in self.dropped.items() if why == reason]
            lines.append(f"dropped: {len(names)} ({reason}): {', '.join(names[:4])}" +
                         (", ..." if len(names) > 4 else ""))  # fmt: skip
        lines.extend(f"{name}: {value}" for name, value in self.notes.items())
        return "\n".join(lines)
