"""Work on the machines of a Ray cluster: the same functions, results in the order of the items.

Ray Data (extra ``ray``) gives items to workers, gives them again where a machine died, and hands
the results back in order to this process, which alone writes. So what is written does not depend on
how many machines there are: rows, their order and their values are those of one process. Files and
collections must have the same address on every machine: a shared disk, or an object store.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final, Literal

import numpy as np

from hilum.errors import UsageError

Engine = Literal["local", "ray"]
ENGINES: Final = ("local", "ray")
WINDOW: Final = 4096  # items that Ray knows of at once: it keeps something for each

Work = Callable[[Any], Any]


def check_engine(engine: str) -> None:
    """Raise UsageError unless `engine` is one, and what it needs is installed."""
    if engine not in ENGINES:
        raise UsageError(f"{engine!r} is not an engine; choose from {', '.join(ENGINES)}")
    if engine == "ray":
        from importlib.util import find_spec

        if find_spec("ray") is None:
            raise UsageError('the engine ray needs more: pip install "hilum[ray]"')


class _Worker:
    """Lives on a machine of the cluster: makes its work once, then does one item after another."""

    def __init__(self, make: Callable[[], Work]) -> None:
        self._work = make()

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Do a batch of one item."""
        done = np.empty(1, dtype=object)
        done[0] = self._work(batch["item"][0])
        return {"place": batch["place"], "done": done}


def map_in_order(
    make: Callable[[], Work], items: Iterable[Any], *, workers: int | None = None, gpu: bool = False
) -> Iterator[Any]:
    """Yield the result of each item, in order, from the cluster that Ray finds or starts here.

    Items are taken from their iterable 4,096 at a time, so memory does not grow with their number.

    Parameters
    ----------
    make
        Gives the function that does one item. Called by each worker, where it works, once for
        4,096 items, so that a model is not loaded for each.
    items
        Small things to work on, such as paths or positions, each worth a second of work or more.
    workers
        How many work at once, a processor each; one for each processor of the cluster if None.
    gpu
        Whether each takes a GPU, too, where the cluster has some; then one for each if None.

    Raises
    ------
    Whatever the work raises; results that were yielded before can be kept.
    """
    items = iter(items)
    while window := list(islice(items, WINDOW)):
        yield from _map_window(make, window, workers, gpu=gpu)


def _map_window(
    make: Callable[[], Work], items: Sequence[Any], workers: int | None, *, gpu: bool
) -> Iterator[Any]:
    import ray
    import ray.data

    library: Any = ray
    if not library.is_initialized():  # joins the cluster that RAY_ADDRESS names, or starts one here
        library.init(log_to_driver=False, include_dashboard=False)
    there = library.cluster_resources()
    gpus = int(there.get("GPU", 0)) if gpu else 0
    most = workers or max(1, gpus or int(there.get("CPU", 1)))
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    source = ray.data.from_items(
        [{"place": at, "item": item} for at, item in enumerate(items)],
        override_num_blocks=len(items),
    )
    results = source.map_batches(
        _Worker, fn_constructor_args=(make,), batch_size=1, num_cpus=1, num_gpus=min(gpus, 1),
        compute=ray.data.ActorPoolStrategy(size=min(most, len(items))),
    )  # fmt: skip
    for due, row in enumerate(results.iter_rows()):
        assert int(row["place"]) == due, "Ray changed the order of the items"
        yield row["done"]
