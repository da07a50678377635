"""Encoders: a network, its weights, and everything needed to feed it an image or a text."""

from hilum.encoders.conversion import Conversion
from hilum.encoders.convert import convert
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
    "Conversion",
    "Encoder",
    "EncoderSpec",
    "PairEncoder",
    "PairModule",
    "PairSpec",
    "TextSpec",
    "build_pair",
    "convert",
    "load_encoder",
    "load_image",
    "load_pair",
    "random_encoder",
    "random_pair",
    "save_encoder",
    "tokenise",
]
