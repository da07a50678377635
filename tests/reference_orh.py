"""The Obuchowski-Rockette-Hillis analysis by explicit sums, and a published study to try it on."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]

# Five readers' ratings, 1 to 5, of thoracic aortic dissection in spin-echo and in cine MRI of 69
# patients without it, then 45 with it. Van Dyke et al., Cine MRI in the diagnosis of thoracic
# aortic dissection, 79th RSNA, 1993: the example of Hillis' papers, in the order of modalities,
# readers and cases of the file VD.lrc that comes with the R package RJafroc.
VAN_DYKE = (
    (
        "122151111111411111111131311214111113121211233131133111111221111332111"
        "555545554555434245555555154454553555115554451",
        "232222222322522232222222422223222222222222222222222222222432232222222"
        "535555542555442225555555243354552425225555352",
        "222235112242422232221232411322112224121412112222223211211221151421212"
        "545555555555542355555555252255552555225555552",
        "111111311111111111112111211112111111111111111111331111111111111311111"
        "555555555555555155555555554544553555125555555",
        "351211112221211122113221111211211231221113332111211111111341231212113"
        "525255551545452235555554144322151515115553552",
    ),
    (
        "333222223213122222211111421312214323123122233111333113412421241442111"
        "535555554555544335555555355355554455535555551",
        "322222223222222122221222322222212212222231223222222222322322222222122"
        "535555552555344245455545252355532425525555552",
        "242222322211132222121121411512112122212221132111233113221232341242121"
        "525555555555354145555555253355543555534555551",
        "221111312111122111211111321212111122112111112121212211111212111323211"
        "545555554555455555555555455445555555535555555",
        "223122221222111222122212322321212222112121132122332122221222231233111"
        "525455555455343335555555251332532545533555553",
    ),
)
WITHOUT, WITH = 69, 45


def van_dyke() -> Floats:
    """Return the ratings (2, 5, 114)."""
    return np.array([[[int(c) for c in row] for row in modality] for modality in VAN_DYKE], float)


def wins(ratings: Floats) -> Floats:
    """Ask every patient with the disease against every one without: (..., WITH, WITHOUT)."""
    healthy, ill = ratings[..., None, :WITHOUT], ratings[..., WITHOUT:, None]
    return np.asarray((ill > healthy) + 0.5 * (ill == healthy), float)


def jackknife(ratings: Floats) -> tuple[Floats, Floats]:
    """Return the areas of (n, 114) ratings and their covariance, leaving out each case in turn."""
    kernel = wins(ratings)
    left_out = [np.delete(kernel, case, axis=2).mean(axis=(1, 2)) for case in range(WITHOUT)]
    left_out += [np.delete(kernel, case, axis=1).mean(axis=(1, 2)) for case in range(WITH)]
    pseudo, n = np.array(left_out), len(left_out)
    deviation = pseudo - pseudo.mean(axis=0)
    return kernel.mean(axis=(1, 2)), deviation.T @ deviation * (n - 1) / n


@dataclass(frozen=True)
class Sums:
    """What the papers' formulas give for two modalities."""

    ms_t: float
    ms_r: float
    ms_tr: float
    var: float
    cov1: float
    cov2: float
    cov3: float
    f: float
    ddf: float
    p_value: float
    low: float
    high: float


def two_modalities(theta: Floats, covariance: Floats, level: float) -> Sums:
    """Hillis 2007: F = MS(T) / (MS(TR) + J max(Cov2 - Cov3, 0)), readers and cases random."""
    modalities, readers = theta.shape
    every = [(i, j) for i in range(modalities) for j in range(readers)]
    grand = sum(theta[i, j] for i, j in every) / len(every)
    row = [sum(theta[i, j] for j in range(readers)) / readers for i in range(modalities)]
    column = [sum(theta[i, j] for i in range(modalities)) / modalities for j in range(readers)]
    ms_t = readers * sum((m - grand) ** 2 for m in row) / (modalities - 1)
    ms_r = modalities * sum((m - grand) ** 2 for m in column) / (readers - 1)
    ms_tr = sum((theta[i, j] - row[i] - column[j] + grand) ** 2 for i, j in every)
    ms_tr /= (modalities - 1) * (readers - 1)
    kinds: dict[tuple[bool, bool], list[float]] = {}
    for a, (i, j) in enumerate(every):
        for b, (k, m) in enumerate(every):
            kinds.setdefault((i == k, j == m), []).append(float(covariance[a, b]))
    mean = {kind: sum(values) / len(values) for kind, values in kinds.items()}
    cov2, cov3 = mean[True, False], mean[False, False]
    bottom = ms_tr + readers * max(cov2 - cov3, 0)
    ddf = bottom**2 / (ms_tr**2 / ((modalities - 1) * (readers - 1)))
    reach = stats.t.isf((1 - level) / 2, ddf) * (2 / readers * bottom) ** 0.5
    return Sums(
        ms_t, ms_r, ms_tr, mean[True, True], mean[False, True], cov2, cov3,
        f=ms_t / bottom, ddf=ddf, p_value=stats.f.sf(ms_t / bottom, modalities - 1, ddf),
        low=row[0] - row[1] - reach, high=row[0] - row[1] + reach,
    )  # fmt: skip
