"""Encoders: a network, its weights, and everything needed to feed it an image or a text."""

from hilum.encoders.classifier import Classifier, ClassifierModule, ClassifierSpec
from hilum.encoders.classifier_file import load_classifier, save_classifier
from hilum.encoders.conversion import Conversion
from hilum.encoders.convert import convert
from hilum.encoders.fusion import HeadSettings
from hilum.encoders.image import Encoder, EncoderSpec, random_encoder
from hilum.encoders.pair import PairEncoder, PairModule, PairSpec
from hilum.encoders.pair_build import random_pair
from hilum.encoders.pair_start import build_pair
from hilum.encoders.references import load_encoder, load_image, load_pair
from hilum.encoders.text import tokenise
from hilum.encoders.text_tower import TextSpec
from hilum.encoders.weights import AnyEncoder, save_encoder

__all__ = [
    "AnyEncoder",
    "Classifier",
    "ClassifierModule",
    "ClassifierSpec",
    "Conversion",
    "Encoder",
    "EncoderSpec",
    "HeadSettings",
    "PairEncoder",
    "PairModule",
    "PairSpec",
    "TextSpec",
    "build_pair",
    "convert",
    "load_classifier",
    "load_encoder",
    "load_image",
    "load_pair",
    "random_encoder",
    "random_pair",
    "save_classifier",
    "save_encoder",
    "tokenise",
]
