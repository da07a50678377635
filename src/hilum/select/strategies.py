"""Every way to choose which images to label, by name.

All of them keep one contract (`hilum.select.pool.Strategy`): exactly as many distinct images as
asked for, none that has labels, no more of one patient than allowed, the same for the same seed.
None of them keeps a matrix of all pairs of a large pool, or a second copy of its vectors.
"""

from typing import Final

from hilum.select.chance import at_random
from hilum.select.clustering import CLARA_SAMPLES, EXACT_ROWS, FIT_ROWS, k_means, k_medoids
from hilum.select.coverage import SAMPLE, k_center, prob_cover
from hilum.select.pool import Picks, Pool, Settings, Strategy
from hilum.select.typical import CANDIDATES, typiclust
from hilum.select.uncertainty import badge, entropy, margin

__all__ = ["STRATEGIES", "Picks", "Pool", "Settings", "Strategy"]

STRATEGIES: Final[dict[str, Strategy]] = {
    "random": Strategy(
        at_random,
        about="At random, without replacement.",
        source="the baseline of all",
        needs_labels=False,
    ),
    "k-medoids": Strategy(
        k_medoids,
        about="The medoids of as many clusters as picks: Euclidean, k-medoids++ start, alternating "
        f"until nothing changes. Exact up to {EXACT_ROWS:,} images; beyond, the best of "
        f"{CLARA_SAMPLES} samples of so many (CLARA).",
        source="Smit et al., arXiv:2103.14339 (their clustering baseline); Kaufman and Rousseeuw, "
        "Finding Groups in Data, Wiley 1990, chapter 3",
        needs_labels=False,
    ),
    "k-means": Strategy(
        k_means,
        about="The image nearest to each of as many k-means centres as picks. Centres are fitted "
        f"on all images, or on a random {FIT_ROWS:,} of more.",
        source="Lloyd, IEEE Trans. Inf. Theory 28:129, 1982; Arthur and Vassilvitskii, SODA 2007",
        needs_labels=False,
    ),
    "k-center": Strategy(
        k_center,
        about="The image farthest from all that are labelled or picked, again and again. Draws "
        "nothing. Finds outliers first.",
        source="Gonzalez, Theor. Comput. Sci. 38:293, 1985; Sener and Savarese, ICLR 2018, "
        "arXiv:1708.00489 (greedy core-set)",
        needs_labels=False,
    ),
    "typiclust": Strategy(
        typiclust,
        about="The image most densely surrounded in each of the largest clusters without a label. "
        f"In clusters of more than {CANDIDATES:,} images, of a random sample of so many.",
        source="Hacohen, Dekel and Weinshall, ICML 2022, arXiv:2202.02794",
        needs_labels=False,
    ),
    "probcover": Strategy(
        prob_cover,
        about="The image whose ball covers most images that no other covers. The balls' radius "
        f"leaves 95 % of them within one cluster. Of more than {SAMPLE:,} images, a random "
        "sample of so many is covered and chosen from.",
        source="Yehuda, Dekel, Hacohen and Weinshall, NeurIPS 2022, arXiv:2205.11320",
        needs_labels=False,
    ),
    "entropy": Strategy(
        entropy,
        about="Where a probe on the labels so far is least certain, summed over findings. Picks "
        "may be alike.",
        source="Settles, Active Learning Literature Survey, Univ. of Wisconsin 2009, section 3.1",
        needs_labels=True,
    ),
    "margin": Strategy(
        margin,
        about="Where a probe on the labels so far is least certain about one finding. Picks may "
        "be alike.",
        source="Settles, Active Learning Literature Survey, Univ. of Wisconsin 2009, section 3.1",
        needs_labels=True,
    ),
    "badge": Strategy(
        badge,
        about="Images whose labels would move a probe on the labels so far far and in different "
        "directions.",
        source="Ash et al., ICLR 2020, arXiv:1906.03671",
        needs_labels=True,
    ),
}
