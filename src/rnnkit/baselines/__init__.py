"""What a network must beat: models that are counted or fitted, without torch, and saved beside it."""

from rnnkit.baselines.arpa import read_arpa, write_arpa
from rnnkit.baselines.arpa_model import ArpaModel
from rnnkit.baselines.backoff import BackoffModel
from rnnkit.baselines.bag import BagOfNgrams, require_scikit_learn
from rnnkit.baselines.dtw import NearestSeries
from rnnkit.baselines.dynamics import DynamicsBaseline
from rnnkit.baselines.forecast import ForecastBaseline
from rnnkit.baselines.frames import FrameMlp
from rnnkit.baselines.ngram import Discounts, NgramModel
from rnnkit.baselines.pictures import NearestPicture, picture_features
from rnnkit.baselines.report import NgramRow, draw_bytes_and_unseen, ngram_name, ngram_table
from rnnkit.baselines.retrieval import (
    CopySource,
    LastTurn,
    MostFrequentText,
    NearestSource,
    TemplateFiller,
    TextBaseline,
)
from rnnkit.baselines.tags import (
    TAG_BASELINES,
    FeatureCrf,
    HiddenMarkov,
    MostFrequentTag,
    TagBaseline,
    require_crfsuite,
)
from rnnkit.baselines.two_sided import TwoSidedNgramModel
from rnnkit.baselines.uniform import UniformModel

__all__ = [
    "TAG_BASELINES",
    "ArpaModel",
    "BackoffModel",
    "BagOfNgrams",
    "CopySource",
    "Discounts",
    "DynamicsBaseline",
    "FeatureCrf",
    "ForecastBaseline",
    "FrameMlp",
    "HiddenMarkov",
    "LastTurn",
    "MostFrequentTag",
    "MostFrequentText",
    "NearestPicture",
    "NearestSeries",
    "NearestSource",
    "NgramModel",
    "NgramRow",
    "TagBaseline",
    "TemplateFiller",
    "TextBaseline",
    "TwoSidedNgramModel",
    "UniformModel",
    "draw_bytes_and_unseen",
    "ngram_name",
    "ngram_table",
    "picture_features",
    "read_arpa",
    "require_crfsuite",
    "require_scikit_learn",
    "write_arpa",
]
