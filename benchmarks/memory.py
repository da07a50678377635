"""How much memory a process has held: shared by benchmarks that must import little."""

from pathlib import Path


def resident_peak(process: str = "self") -> int:
    """Return the most memory that a process has held, bytes.

    Not getrusage's: that begins with what the process held that started this one.
    """
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
