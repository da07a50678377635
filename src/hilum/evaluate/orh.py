"""Reader studies: whether a difference would be there with other readers and other cases.

Obuchowski and Rockette (Commun. Stat. Simul. Comput. 24:285-308, 1995) treat the figures of merit
of J readers as an analysis of variance whose errors are correlated, because all readers saw the
same cases; Hillis (Stat. Med. 26:596-619, 2007) gave it degrees of freedom that hold for few
readers. Nothing here knows what the figure of merit is or how its covariance over cases was
estimated.

A comparison of two modalities and one of a model with a panel are the same analysis: an average of
one number per reader, which is what the reader gains from the first modality over the second, or
what the model has over the reader. With MS the variance of that number between the readers, and
Var and Cov the mean variance of its error over cases and the mean covariance of two readers'
errors, the average has

    readers random   SE^2 = (MS + J max(Cov, 0)) / J
                     df = (J - 1) ((MS + J max(Cov, 0)) / MS)^2
    readers fixed    SE^2 = (Var + (J - 1) max(Cov, 0)) / J,  df infinite

For two modalities MS = 2 MS(TR), Var = 2 (Var - Cov1) and Cov = 2 (Cov2 - Cov3) in the papers'
letters, and (average / SE)^2 is their F.
"""

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from hilum.errors import UsageError

Floats = NDArray[np.float64]
Readers = Literal["random", "fixed"]

NO_SPREAD: Final = "no interval: the standard error is 0, readers and cases show no variation"


@dataclass(frozen=True)
class Average:
    """An average over readers, of a figure of merit or of a difference.

    Parameters
    ----------
    estimate
        The average.
    standard_error
        Its standard error.
    df
        Degrees of freedom of Student's distribution; infinite stands for the normal one.
    low, high
        Ends of the interval, or None.
    p_value
        Two-sided, of the hypothesis that a difference is 0; None for a figure of merit.
    reason
        Why there is no interval, where there is none.
    """

    estimate: float
    standard_error: float
    df: float
    low: float | None
    high: float | None
    p_value: float | None = None
    reason: str | None = None

    @property
    def f(self) -> float | None:
        """F with 1 and `df` degrees of freedom; chi-square with 1 where `df` is infinite."""
        if self.reason is not None:
            return None
        ratio = self.estimate / self.standard_error
        return ratio * ratio


@dataclass(frozen=True)
class Components:
    """What the analysis of variance found, in the letters of the papers.

    Moment estimates, as they come: a variance component below 0 says that the data do not show
    it. Only the difference of covariances in a standard error is cut off at 0, as Hillis
    prescribes. None where the design or a single reader does not define it.

    Parameters
    ----------
    ms_t, ms_r, ms_tr
        Mean squares of modalities, readers and their interaction. For a model against readers,
        `ms_r` is that of the differences.
    var, cov1, cov2, cov3
        Mean variance of the error over cases; mean covariance of the errors of one reader in two
        modalities, of two readers in one modality, and of two readers in two modalities. For a
        model against readers, those of the differences: they include the model's own.
    reader, interaction
        Variance components: between readers, and of a reader's gain between readers.
    """

    ms_t: float | None
    ms_r: float | None
    ms_tr: float | None
    var: float
    cov1: float | None
    cov2: float | None
    cov3: float | None
    reader: float | None
    interaction: float | None


@dataclass(frozen=True)
class ReaderStudy:
    """A comparison over a panel of readers.

    Parameters
    ----------
    design
        ``"two modalities"`` or ``"model against readers"``.
    readers
        ``"random"``: a sample of the readers one speaks of. ``"fixed"``: they are all of them.
    n_readers
        How many there are; a model is not one of them.
    level
        Coverage aimed at by the intervals.
    difference
        First minus second modality, or model minus mean reader.
    first, second
        The two sides by themselves: means over the readers, or the model and the mean reader.
        Each rests on its own side's data only.
    components
        The analysis of variance behind `difference`.
    """

    design: Literal["two modalities", "model against readers"]
    readers: Readers
    n_readers: int
    level: float
    difference: Average
    first: Average
    second: Average
    components: Components

    @property
    def scope(self) -> str:
        """Whom the result speaks of."""
        if self.readers == "random":
            return f"readers like these {self.n_readers}, on cases like these"
        whom = "one reader" if self.n_readers == 1 else f"{self.n_readers} readers"
        return f"the {whom} of this study, on cases like these"

    def to_json(self) -> dict[str, Any]:
        """Return every number for a JSON file; `df` is null for a normal distribution."""
        out = {**asdict(self), "scope": self.scope}
        for side in ("difference", "first", "second"):
            average: Average = getattr(self, side)
            df = None if math.isinf(average.df) else average.df
            out[side] = {**out[side], "df": df, "f": average.f}
        return out


def compare_modalities(
    theta: ArrayLike,
    covariance: ArrayLike,
    *,
    readers: Readers = "random",
    level: float = 0.95,
) -> ReaderStudy:
    """Compare two modalities that the same readers used on the same cases.

    Parameters
    ----------
    theta : (2, n_readers)
        A figure of merit, such as the AUROC, of every reader with each modality: with and
        without assistance, say.
    covariance : (2 * n_readers, 2 * n_readers)
        Covariance of `theta` over cases, estimated by DeLong's method, the jackknife or the
        bootstrap; rows and columns are all readers of the first modality, then of the second.
    readers
        ``"random"`` speaks of readers like these and needs two or more; ``"fixed"`` of these.
    level
        Coverage aimed at by the intervals.

    Raises
    ------
    ValueError
        If the arrays do not fit, hold NaN or infinity, or `covariance` is not symmetric.
    UsageError
        If a setting is out of range, or there is one reader to be a random sample.
    """
    value = np.asarray(theta, dtype=np.float64)
    if value.ndim != 2 or len(value) != 2 or not value.size:
        raise ValueError(f"theta must be (2, n_readers), got shape {value.shape}")
    n = value.shape[1]
    cov = _checked(value, covariance).reshape(2, n, 2, n)
    _check_settings(n, readers, level)
    gain_cov = _of_differences(cov[0, :, 0], cov[1, :, 1], cov[0, :, 1])
    first, second = (_average(value[i], cov[i, :, i], readers, level) for i in (0, 1))
    return ReaderStudy(
        design="two modalities",
        readers=readers,
        n_readers=n,
        level=level,
        difference=_test(_average(value[0] - value[1], gain_cov, readers, level)),
        first=first,
        second=second,
        components=_two_modality_components(value, cov),
    )


def compare_model(
    theta: ArrayLike,
    covariance: ArrayLike,
    *,
    readers: Readers = "random",
    level: float = 0.95,
) -> ReaderStudy:
    """Compare one model with a panel of readers of the same cases.

    The analysis of one modality (Hillis et al., Stat. Med. 24:1579-1607, 2005) applied to the
    differences, whose covariance carries the model's own variance over cases (Chakraborty,
    Observer Performance Methods for Diagnostic Imaging, 2017, chapter 22). The model is fixed:
    nothing is said of how another training of it would do.

    Parameters
    ----------
    theta : (1 + n_readers,)
        A figure of merit of the model, then of each reader.
    covariance : (1 + n_readers, 1 + n_readers)
        Covariance of `theta` over cases.
    readers, level
        As in `compare_modalities`.

    Raises
    ------
    ValueError, UsageError
        As in `compare_modalities`.
    """
    value = np.asarray(theta, dtype=np.float64)
    if value.ndim != 1 or value.size < 2:
        raise ValueError(f"theta must be (1 + n_readers,), the model first; got {value.shape}")
    cov = _checked(value, covariance)
    _check_settings(value.size - 1, readers, level)
    lead = value[0] - value[1:]
    lead_cov = _of_differences(cov[:1, :1], cov[1:, 1:], np.tile(cov[0, 1:], (lead.size, 1)))
    return ReaderStudy(
        design="model against readers",
        readers=readers,
        n_readers=lead.size,
        level=level,
        difference=_test(_average(lead, lead_cov, readers, level)),
        first=_average(value[:1], cov[:1, :1], "fixed", level),
        second=_average(value[1:], cov[1:, 1:], readers, level),
        components=_one_modality_components(lead, lead_cov),
    )


def student_quantile(p: float, df: float) -> float:
    """Return the point below which Student's distribution has the share `p`."""
    return float(ndtri(p) if math.isinf(df) else stdtrit(df, p))


def student_below(x: float, df: float) -> float:
    """Return the share of Student's distribution below `x`."""
    return float(ndtr(x) if math.isinf(df) else stdtr(df, x))


def _checked(theta: Floats, covariance: ArrayLike) -> Floats:
    cov = np.asarray(covariance, dtype=np.float64)
    if cov.shape != (theta.size, theta.size):
        raise ValueError(
            f"covariance must be {(theta.size, theta.size)} for the {theta.size} values of theta, "
            f"got {cov.shape}"
        )
    if not np.isfinite(theta).all() or not np.isfinite(cov).all():
        raise ValueError(
            "theta and covariance must be finite; leave out readers whose figure of merit is "
            "undefined"
        )
    scale = np.abs(cov).max()
    if not np.allclose(cov, cov.T, rtol=0, atol=1e-9 * scale) or (np.diag(cov) < 0).any():
        raise ValueError("covariance must be symmetric, with no variance below 0")
    return cov


def _check_settings(n_readers: int, readers: str, level: float) -> None:
    if readers not in ("random", "fixed"):
        raise UsageError(f"readers must be 'random' or 'fixed', got {readers!r}")
    if not 0 < level < 1:
        raise UsageError(f"level must lie between 0 and 1, got {level}")
    if readers == "random" and n_readers < 2:
        raise UsageError(
            "one reader cannot show how much readers differ, so nothing can be said of other "
            "readers; add readers, or choose readers='fixed' to speak of this one"
        )


def _of_differences(first: Floats, second: Floats, across: Floats) -> Floats:
    """Return the covariance of first minus second (n_readers, n_readers), from those of both."""
    out: Floats = first + second - across - across.T
    # equal terms leave rounding behind, which would pass for a very small standard error
    out[np.abs(out) < 1e-12 * max(np.abs(first).max(), np.abs(second).max())] = 0
    return out


def _average(values: Floats, covariance: Floats, readers: Readers, level: float) -> Average:
    """Average one number per reader (n_readers,) with errors of this covariance over cases."""
    n = values.size
    shared = max(_between_readers(covariance), 0.0) if n > 1 else 0.0
    if readers == "random":
        spread = float(values.var(ddof=1))
        total = spread + n * shared
        # with no spread between readers the cases are the whole error, and it is well estimated
        growth = total / spread if spread > 0 else math.inf
        df = (n - 1) * growth * growth
    else:
        total = float(np.diag(covariance).mean()) + (n - 1) * shared
        df = math.inf
    estimate, error = float(values.mean()), math.sqrt(total / n)
    if error == 0:
        return Average(estimate, error, df, None, None, reason=NO_SPREAD)
    reach = student_quantile((1 + level) / 2, df) * error
    return Average(estimate, error, df, estimate - reach, estimate + reach)


def _test(difference: Average) -> Average:
    """Add the p-value of no difference."""
    if difference.reason is not None:
        return difference
    t = abs(difference.estimate) / difference.standard_error
    return replace(difference, p_value=2 * student_below(-t, difference.df))


def _between_readers(covariance: Floats) -> float:
    """Return the mean of what stands off the diagonal (n_readers, n_readers), two or more."""
    return float(covariance[~np.eye(len(covariance), dtype=bool)].mean())


def _two_modality_components(theta: Floats, cov: Floats) -> Components:
    """Return the components of theta (2, J) with its covariance (2, J, 2, J)."""
    n = theta.shape[1]
    across = cov[0, :, 1]
    var = float(np.mean([np.diag(cov[i, :, i]) for i in (0, 1)]))
    cov1 = float(np.diag(across).mean())
    ms_t = n * float((theta.mean(axis=1)).var(ddof=1))
    if n == 1:
        return Components(ms_t, None, None, var, cov1, None, None, None, None)
    cov2 = (_between_readers(cov[0, :, 0]) + _between_readers(cov[1, :, 1])) / 2
    cov3 = _between_readers(across)
    ms_r = 2 * float(theta.mean(axis=0).var(ddof=1))
    ms_tr = float((theta[0] - theta[1]).var(ddof=1)) / 2
    return Components(
        ms_t, ms_r, ms_tr, var, cov1, cov2, cov3,
        reader=(ms_r - ms_tr) / 2 - cov1 + cov3,
        interaction=ms_tr - var + cov1 + cov2 - cov3,
    )  # fmt: skip


def _one_modality_components(values: Floats, covariance: Floats) -> Components:
    """Return the components of one number per reader (J,) with its covariance (J, J)."""
    var = float(np.diag(covariance).mean())
    if values.size == 1:
        return Components(None, None, None, var, None, None, None, None, None)
    cov2, ms_r = _between_readers(covariance), float(values.var(ddof=1))
    return Components(
        None, ms_r, None, var, None, cov2, None, reader=ms_r - var + cov2, interaction=None
    )
