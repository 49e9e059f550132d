"""Data: files as documents, documents as corpora of token ids, corpora as windows to train on. NumPy only.

>>> prepared = data.prepare(["my.txt"], tokenizer="char")
>>> streams = data.Streams(prepared.train.tokens, prepared.train.document_starts,
...                        begin_id=prepared.tokenizer.begin_id, batch_size=32, window=64)
>>> for window in streams: ...
"""

from rnnkit.data.corpus import Corpus
from rnnkit.data.doctor import doctor
from rnnkit.data.documents import Document, default_documents, split
from rnnkit.data.prepare import Prepared, prepare, vocabulary_pieces
from rnnkit.data.readers import FOLDER_SUFFIXES, read_documents
from rnnkit.data.report import Finding, Report
from rnnkit.data.streams import Streams, Window

__all__ = [
    "FOLDER_SUFFIXES",
    "Corpus",
    "Document",
    "Finding",
    "Prepared",
    "Report",
    "Streams",
    "Window",
    "default_documents",
    "doctor",
    "prepare",
    "read_documents",
    "split",
    "vocabulary_pieces",
]
