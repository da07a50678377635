"""Why a model says so: maps over an image, what they rest on, and how far they can be believed.

`explain` is the way in and `Saliency` what comes out. Below them, lowest first:

* `frames` and `layers` find where in a network there is a map of the image, in any layout, and
  `capture` keeps what a layer gave and the slope of any output by it; `placement` measures where
  in the image its cells look;
* `cam` weights activations by gradients, a dict of functions on arrays, and `diagnosis` says why
  a map is blank;
* `model` is what can be explained, `explaining` goes through a collection, `saliency` brings maps
  into the original image's frame;
* `similarity` says why two images are similar, a dict of functions of one contract (`compared`):
  `sbsm` hides windows (`windows`, `masked`; `coarse` looks at some, `incremental` and `touched`
  compute what one changes), `rise` random parts, `relevance` asks a classifier of examples;
  `simcam` takes a cosine apart (`shares`), `simatt` takes its gradient, `feature_masks` and
  `similarity_scorecam` hide what a layer saw (`tails`);
  `insertion` measures such a map by what it takes away, `pair_scores` many of them;
* `regions` are boxes and masks, `fidelity` measures one map against one region, `baselines` are
  maps that know nothing, and `scoring` with `localisation` puts intervals around all of it.

A new method is a function in `METHODS` or `SIMILARITY`; a method of another kind makes a
`Saliency` and has the frames, files, pictures and scores for nothing.
"""

from hilum.explain.cam import METHODS
from hilum.explain.diagnosis import Diagnosis
from hilum.explain.explaining import explain
from hilum.explain.files import read_maps, save_maps, save_scores
from hilum.explain.localisation import Localisation
from hilum.explain.model import Explained, explained
from hilum.explain.pair_files import save_pair_scores
from hilum.explain.pair_scores import PairScores, score_pairs
from hilum.explain.regions import Regions, boxes_of, read_masks
from hilum.explain.saliency import Origin, Saliency
from hilum.explain.scoring import score_maps
from hilum.explain.similarity import SIMILARITY, explain_similar

__all__ = [
    "METHODS",
    "SIMILARITY",
    "Diagnosis",
    "Explained",
    "Localisation",
    "Origin",
    "PairScores",
    "Regions",
    "Saliency",
    "boxes_of",
    "explain",
    "explain_similar",
    "explained",
    "read_maps",
    "read_masks",
    "save_maps",
    "save_pair_scores",
    "save_scores",
    "score_maps",
    "score_pairs",
]
