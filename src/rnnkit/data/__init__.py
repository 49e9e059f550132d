"""Data: files as documents, documents as corpora of token ids, corpora as windows to train on. NumPy only.

>>> prepared = data.prepare(["my.txt"], tokenizer="char")
>>> streams = data.Streams(prepared.train.tokens, prepared.train.document_starts,
...                        begin_id=prepared.tokenizer.begin_id, batch_size=32, window=64)
>>> for window in streams: ...
"""

from rnnkit.data.batches import Batch, Batches, padded
from rnnkit.data.corpus import Corpus
from rnnkit.data.doctor import doctor
from rnnkit.data.documents import Document, default_documents, split
from rnnkit.data.examples import (
    LABEL_COLUMNS,
    TEXT_COLUMNS,
    Examples,
    is_table,
    known_labels,
    label_ids,
    read_examples,
    split_examples,
    tokenizer_of,
)
from rnnkit.data.forecast_tables import Columns, Panel, read_panel
from rnnkit.data.framed import Framed, read_framed
from rnnkit.data.memory_tasks import MEMORY_TASKS, NEAR, NUM_SYMBOLS, MemoryTask, draw_memory, memory_distances
from rnnkit.data.pair_batches import PairBatch, PairBatches, pair_batch
from rnnkit.data.pairs import (
    SOURCE_COLUMNS,
    TARGET_COLUMNS,
    Pairs,
    is_pair_table,
    read_pairs,
    split_pairs,
)
from rnnkit.data.pictures import CAPTION_COLUMNS, IMAGE_COLUMNS, Pictures, read_picture, read_pictures
from rnnkit.data.prepare import Prepared, prepare, vocabulary_pieces
from rnnkit.data.readers import FOLDER_SUFFIXES, read_documents
from rnnkit.data.records import (
    DESCRIPTION_COLUMNS,
    SPECIAL_VALUES,
    Record,
    Records,
    placeholder,
    read_records,
    record_of,
    record_of_object,
    split_records,
)
from rnnkit.data.report import Finding, Report
from rnnkit.data.streams import Streams, Window
from rnnkit.data.systems import SystemColumns, Systems, read_systems
from rnnkit.data.tagged import (
    Tagged,
    in_scheme,
    known_tags,
    read_tagged,
    scheme_of,
    split_tagged,
    tag_ids,
)
from rnnkit.data.turns import (
    DIALOGUE_COLUMNS,
    SPEAKER_COLUMNS,
    TURN_COLUMNS,
    TURNS_KEYS,
    Dialogues,
    Turn,
    read_dialogues,
    split_dialogues,
)
from rnnkit.data.wording import Wording, has_glued_marks, repeated_slots
from rnnkit.text import NEXT_TURN, in_context

__all__ = [
    "CAPTION_COLUMNS",
    "DESCRIPTION_COLUMNS",
    "DIALOGUE_COLUMNS",
    "FOLDER_SUFFIXES",
    "IMAGE_COLUMNS",
    "LABEL_COLUMNS",
    "MEMORY_TASKS",
    "NEAR",
    "NEXT_TURN",
    "NUM_SYMBOLS",
    "SOURCE_COLUMNS",
    "SPEAKER_COLUMNS",
    "SPECIAL_VALUES",
    "TARGET_COLUMNS",
    "TEXT_COLUMNS",
    "TURNS_KEYS",
    "TURN_COLUMNS",
    "Batch",
    "Batches",
    "Columns",
    "Corpus",
    "Dialogues",
    "Document",
    "Examples",
    "Finding",
    "Framed",
    "MemoryTask",
    "PairBatch",
    "PairBatches",
    "Pairs",
    "Panel",
    "Pictures",
    "Prepared",
    "Record",
    "Records",
    "Report",
    "Streams",
    "SystemColumns",
    "Systems",
    "Tagged",
    "Turn",
    "Window",
    "Wording",
    "default_documents",
    "doctor",
    "draw_memory",
    "has_glued_marks",
    "in_context",
    "in_scheme",
    "is_pair_table",
    "is_table",
    "known_labels",
    "known_tags",
    "label_ids",
    "memory_distances",
    "padded",
    "pair_batch",
    "placeholder",
    "prepare",
    "read_dialogues",
    "read_documents",
    "read_examples",
    "read_framed",
    "read_pairs",
    "read_panel",
    "read_picture",
    "read_pictures",
    "read_records",
    "read_systems",
    "read_tagged",
    "record_of",
    "record_of_object",
    "repeated_slots",
    "scheme_of",
    "split",
    "split_dialogues",
    "split_examples",
    "split_pairs",
    "split_records",
    "split_tagged",
    "tag_ids",
    "tokenizer_of",
    "vocabulary_pieces",
]
