"""Prompts: what is asked of an image in words, and how its answer is read off.

Pure functions on sentences and arrays: `hilum.zeroshot` brings them to a collection.
"""

from hilum.prompts.pairs import CHEXZERO, TEMPLATES, Mode, PromptPair, Template, fill, prompt_pairs
from hilum.prompts.scores import class_scores, mean_vectors, pair_scores, prompt_vectors

__all__ = [
    "CHEXZERO",
    "TEMPLATES",
    "Mode",
    "PromptPair",
    "Template",
    "class_scores",
    "fill",
    "mean_vectors",
    "pair_scores",
    "prompt_pairs",
    "prompt_vectors",
]
