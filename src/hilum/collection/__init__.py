"""The collection: one Lance dataset of images, labels, pixels and embeddings, joined by id."""

from hilum.collection.indexing import IndexState
from hilum.collection.indexing import build as build_index
from hilum.collection.readings import reader_shares, reader_tables
from hilum.collection.splits import check_leaks
from hilum.collection.vectors import EmbeddingInfo
from hilum.collection.view import Collection, open_collection

__all__ = [
    "Collection",
    "EmbeddingInfo",
    "IndexState",
    "build_index",
    "check_leaks",
    "open_collection",
    "reader_shares",
    "reader_tables",
]
