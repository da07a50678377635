"""Class activation maps: from what a layer gave, and the slope of an output by it, to one map.

With A the layer's maps and g = ∂s/∂A the gradient of a finding's *logit* s (a probability's would
vanish where the network is sure), the methods differ in how they weight. Each returns the signed
sum; what speaks for the finding is the part above zero (`for_it`).
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

Maps = NDArray[np.float32]

Method = Callable[[Maps, Maps], Maps]
"""Activations and gradients (n, c, h, w) → signed maps (n, h, w)."""


def grad_cam(activations: Maps, gradients: Maps) -> Maps:
    """Weight each channel by its mean gradient.

    Selvaraju et al., Grad-CAM, ICCV 2017, arXiv:1610.02391, equations 1 and 2, before the ReLU.

    Parameters
    ----------
    activations, gradients : (n, c, h, w)
        Of a layer, and of the logit by it.

    Returns
    -------
    (n, h, w), signed
    """
    weights = gradients.mean(axis=(2, 3))  # (n, c)
    signed: Maps = np.einsum("nc,nchw->nhw", weights, activations)
    return signed


def grad_cam_plus_plus(activations: Maps, gradients: Maps) -> Maps:
    """Weight each channel by its gradients above zero, each by how much it counts there.

    Chattopadhay et al., Grad-CAM++, WACV 2018, arXiv:1710.11063, equation 19 for an output that
    is the exponential of the logit: α = g² / (2g² + g³ ΣA), the sum over positions, and weights
    Σ α max(g, 0). Where g is above zero that is α = 1 / (2 + g ΣA). The paper's layers end in a
    ReLU; so that α stays defined on others, activations below zero count as 0 in ΣA.

    Parameters, returns as `grad_cam`.
    """
    rising = np.maximum(gradients, 0)
    total = np.maximum(activations, 0).sum(axis=(2, 3), keepdims=True)  # (n, c, 1, 1)
    weights = (rising / (2 + rising * total)).sum(axis=(2, 3))
    signed: Maps = np.einsum("nc,nchw->nhw", weights, activations)
    return signed


def hires_cam(activations: Maps, gradients: Maps) -> Maps:
    """Multiply activations by their own gradients.

    Draelos and Carin, HiResCAM, arXiv:2011.08891. Where all that follows the layer is a mean over
    positions and a linear layer, a map's sum is the logit less its bias, and the map is
    Grad-CAM's.

    Parameters, returns as `grad_cam`.
    """
    signed: Maps = np.einsum("nchw,nchw->nhw", gradients, activations)
    return signed


def layer_cam(activations: Maps, gradients: Maps) -> Maps:
    """Multiply activations by their own gradients where these are above zero.

    Jiang et al., LayerCAM, IEEE TIP 30:5875-5888, 2021, doi:10.1109/TIP.2021.3089943.

    Parameters, returns as `grad_cam`.
    """
    signed: Maps = np.einsum("nchw,nchw->nhw", np.maximum(gradients, 0), activations)
    return signed


def eigen_cam(activations: Maps, gradients: Maps) -> Maps:  # noqa: ARG001 (one contract)
    """Project the channels of each position on their first principal direction.

    Muhammad and Yeasin, Eigen-CAM, IJCNN 2020, arXiv:2008.00299: not centred. Gradients are not
    used, so the map is the same for every finding. Of the two signs it has the one whose sum is
    above zero; on layers that end in a ReLU it is then nowhere below.

    Parameters, returns as `grad_cam`.
    """
    n, channels, height, width = activations.shape
    rows = activations.reshape(n, channels, -1).transpose(0, 2, 1)  # (n, h · w, c)
    left, size, _ = np.linalg.svd(rows, full_matrices=False)
    first = left[:, :, 0] * size[:, :1]
    sign = np.where(first.sum(axis=1, keepdims=True) < 0, -1, 1)
    return np.asarray(first * sign, np.float32).reshape(n, height, width)


METHODS: Final[dict[str, Method]] = {
    "grad-cam": grad_cam,
    "grad-cam++": grad_cam_plus_plus,
    "hires-cam": hires_cam,
    "layer-cam": layer_cam,
    "eigen-cam": eigen_cam,
}

ALIKE_FOR_ALL: Final = frozenset({"eigen-cam"})
"""Methods whose map does not depend on the finding."""


def for_it(signed: Maps) -> Maps:
    """Return the part of a map that speaks for the finding: zero where it is below zero."""
    return np.maximum(signed, 0)
