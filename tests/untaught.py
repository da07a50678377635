"""A classifier that has learnt nothing."""

from hilum.encoders import Classifier, ClassifierModule, ClassifierSpec
from hilum.encoders.device import Engine
from hilum.encoders.image import build_module


def random_classifier(
    spec: ClassifierSpec, *, seed: int = 0, engine: Engine | None = None
) -> Classifier:
    image = spec.image
    backbone = build_module(
        image.architecture, image.size, image.channels, seed=seed, pooling=image.pooling
    )
    return Classifier(spec, ClassifierModule(spec, backbone, seed=seed), engine)
