"""What arms took, in words."""

from hilum.comparison.result import Standing


def costs(one: Standing) -> tuple[str, str]:
    """Return minutes on the clock and of processors per training, and the most memory, in words."""
    known = [training.cost for training in one.trainings if training.cost is not None]
    if not known:
        return "", ""
    clock = sum(cost.seconds for cost in known) / len(known) / 60
    cores = sum(cost.processor_seconds for cost in known) / len(known) / 60
    memory = f"{max(cost.memory for cost in known) / 1e9:.1f} GB"
    on_gpu = [cost.device_memory for cost in known if cost.device_memory is not None]
    if on_gpu:
        memory += f", GPU {max(on_gpu) / 1e9:.1f} GB"
    return f"{clock:.1f} ({cores:.1f})", memory
