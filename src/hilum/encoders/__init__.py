"""Encoders: a network, its weights, and everything needed to feed it an image."""

from hilum.encoders.convert import Conversion, convert
from hilum.encoders.image import Encoder, EncoderSpec, random_encoder
from hilum.encoders.weights import load_encoder, save_encoder

__all__ = [
    "Conversion",
    "Encoder",
    "EncoderSpec",
    "convert",
    "load_encoder",
    "random_encoder",
    "save_encoder",
]
