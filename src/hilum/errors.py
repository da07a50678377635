"""Every error that hilum raises for a fault outside its own code.

The tree::

    HilumError                 anything below; the command line prints it in one line, exit 1
    ├── UsageError             an argument cannot be used (command line: exit 2, with a hint)
    ├── ImageError             one file cannot become pixels; carries a `reason` code
    ├── SourceError            a folder is not in the layout it was said to be in
    ├── TableError             a table of scores, truth or labels is wrong, or two do not match
    ├── CollectionError        a collection cannot be opened, extended or read as asked
    │   ├── ClashError         two different images claim one id
    │   └── LeakError          a patient is on both sides of a split
    ├── WeightsError           weights are missing, foreign, incomplete or for something else
    └── RunError               a run folder cannot be started or continued

A message says where (file, line, column or id), what was expected, what was got and what to do.
`assert` is only for hilum's own invariants.
"""


class HilumError(Exception):
    """Any fault that the user can see the cause of: a file, a table, an option, an earlier run."""


class UsageError(HilumError):
    """An argument cannot be used; the message names the ones that can."""


class ImageError(HilumError):
    """One file cannot become pixels.

    Parameters
    ----------
    reason
        A short code that stays the same between versions, such as ``"truncated"`` or
        ``"too-large"``: what a quarantine table is grouped by.
    message
        What was expected and what was got, without the file's name (callers add it, because
        the name of a clinical file can identify a patient).
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{message} [{reason}]")
        self.reason = reason
        self.message = message

    def __reduce__(self) -> tuple[type["ImageError"], tuple[str, str]]:
        """Let the error cross a process border with its reason."""
        return type(self), (self.reason, self.message)


class SourceError(HilumError):
    """A folder or table is not in the layout it was said to be in."""


class TableError(HilumError):
    """A table of scores, truth or labels is wrong, or two tables do not match."""


class CollectionError(HilumError):
    """A collection cannot be opened, extended or read as asked."""


class ClashError(CollectionError):
    """Two different images, or patients of two sources, claim one id."""


class LeakError(CollectionError):
    """A patient is on both sides of a split."""


class WeightsError(HilumError):
    """Weights are missing, foreign, incomplete or made for something else."""


class RunError(HilumError):
    """A run folder cannot be started or continued."""
