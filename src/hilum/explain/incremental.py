"""The vectors of one image under many windows, computing only what a window touches.

Early layers of a convolutional network change near the window alone. They are computed on small
parts, with what is around them from the unmasked image; as soon as the part is most of a layer's
output, the whole output is put together and the rest of the network runs as it always does. The
result is that of the whole network, up to the order of sums.
"""

import operator
from dataclasses import dataclass
from typing import Any, Final, final

import numpy as np
import torch
from numpy.typing import NDArray
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, fx, nn
from torch.fx.proxy import TraceError
from torch.nn import functional

from hilum.explain.cutting import Rows, gather, paste
from hilum.explain.touched import Field, Reach, Span, field, of_boxes, through, union

MOST: Final = 0.8
"""Beyond this part of a layer's output, computing all of it costs less than finding the part."""

LEAST_SAVED: Final = 0.1
"""Below this part of all multiplications saved, as of a transformer, nothing is worth it."""

ALONE: Final = (
    BatchNormAct2d, nn.BatchNorm2d, nn.Identity, nn.Dropout, nn.ReLU, nn.ReLU6, nn.LeakyReLU,
    nn.GELU, nn.SiLU, nn.Sigmoid, nn.Tanh, nn.Hardswish, nn.Hardsigmoid, nn.ELU, nn.Mish,
)  # fmt: skip
"""Layers that look at each position alone."""

TOGETHER: Final = {
    operator.add, operator.iadd, operator.mul, operator.imul, torch.add, torch.mul, torch.cat,
}  # fmt: skip

REFUSALS: Final = (
    TraceError, TypeError, ValueError, AttributeError, RuntimeError, AssertionError, KeyError,
)  # fmt: skip
"""What tracing raises of a network that cannot be written as a fixed list of steps."""


@dataclass(frozen=True, eq=False)
class Part:
    """Rows and columns of a step's output that windows touch."""

    rows: Span
    columns: Span


@dataclass(frozen=True, eq=False)
class Reading:
    """What a convolution or pooling reads of its input, and the input around it."""

    rows: Field
    columns: Field
    around: Tensor  # (height, width, channels), padded
    shift: tuple[int, int]  # of its first row and column


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, ALONE) or super().is_leaf_module(m, module_qualified_name)


@final
class Incremental:
    """A network around one image; made by `around`.

    Parameters
    ----------
    module, image, boxes
        As there.
    whole : (1, dim)
        What the network gives for the image as it is.
    """

    def __init__(self, module: nn.Module, image: Tensor, boxes: NDArray[np.int64]) -> None:
        graph = _Tracer().trace(module)
        self._steps = fx.GraphModule(module, graph)
        self.image, self.boxes = image, boxes
        clean = _Recorder(self._steps)
        self.whole: Tensor = clean.run(image)
        self._shapes = clean.shapes
        self._parts = self._plan()
        self._readings = {
            step: self._reading(step, clean.values[step.all_input_nodes[0]])
            for step in self._parts
            if self._reach(step)
        }
        self._clean = {
            step: clean.values[step].permute(0, 2, 3, 1)[0].contiguous() for step in self._parts
        }
        self._uses = _last_uses(graph)

    def saved(self) -> float:
        """Return the part of all multiplications in convolutions and linear layers not done."""
        total = spared = 0.0
        for step in self._steps.graph.nodes:
            layer = self._layer(step)
            if not isinstance(layer, nn.Conv2d | nn.Linear):
                continue
            shape = self._shapes[step]
            cost = float(np.prod(shape)) * layer.weight[0].numel()
            total += cost
            if step in self._parts:
                spared += cost * (1 - _share(self._parts[step], shape))
        return spared / total if total else 0.0

    def __call__(self, some: Rows, fill: Tensor) -> Tensor:
        """Return what the network gives with each of these windows hidden, (n, dim).

        Parameters
        ----------
        some : (n,)
            Which windows.
        fill : (channels, 1, 1)
            What a hidden pixel becomes.
        """
        values: dict[fx.Node, Any] = {}
        found: Any = None
        for step in self._steps.graph.nodes:
            if step.op == "output":
                found = values[step.all_input_nodes[0]]
            elif step.op == "placeholder" and step in self._parts:
                values[step] = self._hidden(step, some, fill)
            elif step.op == "placeholder":
                values[step] = step.args[0] if step.args else None
            elif step in self._parts:
                values[step] = self._local(step, values, some)
            else:
                values[step] = self._full(step, values, some)
            for done in self._uses.get(step, ()):
                del values[done]
        result: Tensor = found
        return result

    def _layer(self, step: fx.Node) -> nn.Module | None:
        if step.op != "call_module":
            return None
        return self._steps.get_submodule(str(step.target))

    def _reach(self, step: fx.Node) -> tuple[Reach, Reach] | None:
        """Return how a step that looks at neighbours does so, if it is of a known kind."""
        layer: Any = self._layer(step)
        kind = type(layer)  # a class made from one of these may do anything
        if kind is nn.AvgPool2d and not layer.ceil_mode and _two(layer.padding) == (0, 0):
            dilation: Any = 1
        elif (kind is nn.Conv2d and layer.padding_mode == "zeros") or (
            kind is nn.MaxPool2d and not layer.ceil_mode and not layer.return_indices
        ):
            dilation = layer.dilation
        else:
            return None
        if isinstance(layer.padding, str):  # "same"
            return None
        given = (layer.kernel_size, layer.stride, layer.padding, dilation)
        rows, columns = zip(*(_two(one) for one in given), strict=True)
        return Reach(*rows), Reach(*columns)

    def _plan(self) -> dict[fx.Node, Part]:
        """Return the steps that are computed in part, and which part; all others are in full."""
        parts: dict[fx.Node, Part] = {}
        height, width = self.image.shape[2:]
        for step in self._steps.graph.nodes:
            if step.op == "placeholder" and not parts:
                tops, bottoms, lefts, rights = self.boxes.T
                parts[step] = Part(of_boxes(tops, bottoms, height), of_boxes(lefts, rights, width))
                continue
            part = self._part(step, parts)
            if part is not None and _share(part, self._shapes[step]) <= MOST:
                parts[step] = part
        return parts

    def _part(self, step: fx.Node, parts: dict[fx.Node, Part]) -> Part | None:
        inputs = step.all_input_nodes
        shape = self._shapes.get(step, ())
        if len(shape) != 4 or not inputs or any(one not in parts for one in inputs):
            return None
        given = [parts[one] for one in inputs]
        reach = self._reach(step)
        if reach is not None:
            rows = through(given[0].rows, reach[0], shape[2])
            return Part(rows, through(given[0].columns, reach[1], shape[3]))
        if isinstance(self._layer(step), ALONE) or self._puts_together(step):
            rows = union([one.rows for one in given], shape[2])
            return Part(rows, union([one.columns for one in given], shape[3]))
        return None

    def _puts_together(self, step: fx.Node) -> bool:
        if step.op != "call_function" or step.target not in TOGETHER:
            return False
        along = step.kwargs.get("dim", step.args[1] if len(step.args) > 1 else 0)
        alike = {self._shapes[one][2:] for one in step.all_input_nodes}
        return len(alike) == 1 and (step.target is not torch.cat or bool(along == 1))

    def _reading(self, step: fx.Node, clean: Tensor) -> Reading:
        part, given = self._parts[step], self._parts[step.all_input_nodes[0]]
        reach = self._reach(step)
        assert reach is not None
        rows = field(given.rows, part.rows, reach[0])
        columns = field(given.columns, part.columns, reach[1])
        top, bottom = _beyond(rows.read, clean.shape[2])
        left, right = _beyond(columns.read, clean.shape[3])
        nothing = -torch.inf if isinstance(self._layer(step), nn.MaxPool2d) else 0.0
        padded = functional.pad(clean, (left, right, top, bottom), value=nothing)
        return Reading(rows, columns, padded.permute(0, 2, 3, 1)[0].contiguous(), (top, left))

    def _hidden(self, step: fx.Node, some: Rows, fill: Tensor) -> Tensor:
        part = self._parts[step]
        values = gather(self._clean[step], part.rows, part.columns, some)
        begins = zip(part.rows.starts[some], part.columns.starts[some], strict=True)
        for one, box, (y, x) in zip(values, self.boxes[some], begins, strict=True):
            top, bottom, left, right = box - (y, y, x, x)
            one[:, top:bottom, left:right] = fill
        return values

    def _local(self, step: fx.Node, values: dict[fx.Node, Any], some: Rows) -> Tensor:
        """Compute the part of a step's output that windows touch, (n, channels, rows, columns)."""
        inputs = step.all_input_nodes
        if step in self._readings:
            return self._neighbours(step, values[inputs[0]], some)
        part = self._parts[step]
        grown = {one: self._grown(one, values[one], part, some) for one in inputs}
        found: Tensor = self._called(step, grown)
        return found

    def _neighbours(self, step: fx.Node, change: Tensor, some: Rows) -> Tensor:
        reading, layer = self._readings[step], self._layer(step)
        (top, left), (rows, columns) = reading.shift, (reading.rows, reading.columns)
        if isinstance(layer, nn.Conv2d) and _alone(layer):
            return functional.conv2d(change, layer.weight, layer.bias, groups=layer.groups)
        values = gather(reading.around, rows.read, columns.read, some, (top, left))
        paste(values, change, rows.change[some], columns.change[some])
        read = values[
            :, :, rows.skip : rows.skip + rows.length,
            columns.skip : columns.skip + columns.length,
        ]  # fmt: skip
        if isinstance(layer, nn.Conv2d):
            return functional.conv2d(
                read, layer.weight, layer.bias, layer.stride, 0, layer.dilation, layer.groups
            )
        if isinstance(layer, nn.MaxPool2d):
            return functional.max_pool2d(read, layer.kernel_size, layer.stride, 0, layer.dilation)
        assert isinstance(layer, nn.AvgPool2d)
        return functional.avg_pool2d(read, layer.kernel_size, layer.stride)

    def _grown(self, step: fx.Node, change: Tensor, part: Part, some: Rows) -> Tensor:
        """Return a part of an output as a part that holds it, the rest as without a window."""
        own = self._parts[step]
        if _same(own, part):
            return change
        values = gather(self._clean[step], part.rows, part.columns, some)
        down = own.rows.starts[some] - part.rows.starts[some]
        right = own.columns.starts[some] - part.columns.starts[some]
        paste(values, change, down, right)
        return values

    def _full(self, step: fx.Node, values: dict[fx.Node, Any], some: Rows) -> Any:
        given = {}
        for one in step.all_input_nodes:
            if one in self._parts:
                own = self._parts[one]
                clean = self._clean[one]
                whole = clean.repeat(len(values[one]), 1, 1, 1).permute(0, 3, 1, 2)
                paste(whole, values[one], own.rows.starts[some], own.columns.starts[some])
                given[one] = whole
            else:
                given[one] = values[one]
        return self._called(step, given)

    def _called(self, step: fx.Node, given: dict[fx.Node, Any]) -> Any:
        args = fx.node.map_arg(step.args, given.__getitem__)
        kwargs = fx.node.map_arg(step.kwargs, given.__getitem__)
        if step.op == "get_attr":
            return operator.attrgetter(str(step.target))(self._steps)
        if step.op == "call_method":
            return getattr(args[0], str(step.target))(*args[1:], **kwargs)
        called: Any = self._layer(step) if step.op == "call_module" else step.target
        return called(*args, **kwargs)


def around(module: nn.Module, image: Tensor, boxes: NDArray[np.int64]) -> Incremental | None:
    """Return a network around one image, or None where that would save nothing.

    Parameters
    ----------
    module
        In evaluation mode.
    image : (1, channels, height, width)
        Prepared.
    boxes : (n, 4)
        Windows, as `hilum.explain.windows.Windows.boxes`.

    Returns
    -------
    None if the network cannot be written as a list of steps, the steps do not give what it gives,
    or windows touch nearly all of nearly every layer, as in a transformer.
    """
    try:
        found = Incremental(module, image, boxes)
    except REFUSALS:
        return None
    return found if found.saved() >= LEAST_SAVED and _agrees(found, module) else None


def _agrees(found: Incremental, module: nn.Module) -> bool:
    """Ask the network itself about the image, whole and with the middle window hidden."""
    middle = np.array([len(found.boxes) // 2])
    top, bottom, left, right = found.boxes[middle[0]].tolist()
    hidden = found.image.clone()
    hidden[:, :, top:bottom, left:right] = 0
    ours = torch.cat([found.whole, found(middle, hidden.new_zeros(hidden.shape[1], 1, 1))])
    theirs = torch.cat([module(found.image), module(hidden)])
    near = 1e-4 if theirs.dtype == torch.float32 else 0.02  # bfloat16 has 8 bits
    off = (ours.float() - theirs.float()).norm(dim=1)
    return bool((off <= near * theirs.float().norm(dim=1)).all())


class _Recorder(fx.Interpreter):
    """Runs the steps once and keeps what they give."""

    def __init__(self, steps: fx.GraphModule) -> None:
        super().__init__(steps, garbage_collect_values=False)
        self.values: dict[fx.Node, Any] = {}

    @property
    def shapes(self) -> dict[fx.Node, tuple[int, ...]]:
        """Of what is a tensor."""
        return {k: tuple(v.shape) for k, v in self.values.items() if isinstance(v, Tensor)}

    def run_node(self, n: fx.Node) -> Any:
        found = super().run_node(n)
        # A copy: the next step may write into it, as a ReLU in place does.
        self.values[n] = found.clone() if isinstance(found, Tensor) else found
        return found


def _alone(layer: nn.Conv2d) -> bool:
    return (layer.kernel_size, layer.stride, layer.padding) == ((1, 1), (1, 1), (0, 0))


def _share(part: Part, shape: tuple[int, ...]) -> float:
    return part.rows.length * part.columns.length / (shape[2] * shape[3])


def _same(one: Part, other: Part) -> bool:
    return all(
        a.length == b.length and np.array_equal(a.starts, b.starts)
        for a, b in ((one.rows, other.rows), (one.columns, other.columns))
    )


def _two(value: Any) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)


def _beyond(read: Span, side: int) -> tuple[int, int]:
    """Return how far reading goes beyond the first and the last position."""
    last = int(read.starts.max()) + read.length
    return max(0, -int(read.starts.min())), max(0, last - side)


def _last_uses(graph: fx.Graph) -> dict[fx.Node, list[fx.Node]]:
    """Return, for each step, those whose output nothing after it needs."""
    last: dict[fx.Node, fx.Node] = {}
    for step in graph.nodes:
        for given in step.all_input_nodes:
            last[given] = step
    uses: dict[fx.Node, list[fx.Node]] = {}
    for given, step in last.items():
        uses.setdefault(step, []).append(given)
    return uses
