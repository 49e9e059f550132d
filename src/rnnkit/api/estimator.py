"""SequenceClassifier: the recurrent classifier in the shape of a scikit-learn estimator."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from rnnkit import data
from rnnkit.api.classifier import Classifier
from rnnkit.errors import ArgumentError, MissingExtraError

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.utils.validation import check_is_fitted
except ImportError as error:
    raise MissingExtraError("SequenceClassifier needs scikit-learn", extra="train") from error

_OF_TEXT = ("tokenizer", "characters", "embedding_size", "word_dropout", "ngrams")
_IN_MEMORY = "<memory>"


class SequenceClassifier(ClassifierMixin, BaseEstimator):
    """A recurrent classifier of texts, or of series of numbers.

        model = SequenceClassifier(epochs=5).fit(texts, labels)
        model.predict(["a fine film"]);  model.predict_proba(["a fine film"]);  model.score(others, their_labels)
        cross_val_score(SequenceClassifier(tokenizer="char"), names, languages)

    Args:
        tokenizer: "word", "char", "byte" or "bpe"; characters: of words, also read how each is spelled. They,
            embedding_size, word_dropout and ngrams are for texts.
        cell, hidden_size, num_layers, bidirectional, readout, input_dropout, output_dropout, label_smoothing, ngrams:
            of the model, see the configuration reference.
        class_weights: "none" or "balanced".
        valid_share: of every label's sequences, set aside to choose the weights by.
        epochs, batch_size, lr: of training. random_state: seeds weights, dropout, order and what is set aside.
        threads: None: the cores this process may use; their number changes no bit.
    Attributes, once fitted:
        classes_: the labels, sorted: the columns of `predict_proba`.
        model_:   the `rnnkit.Classifier`; `model_.save(folder)` keeps it as a bundle, which runs without torch.
    """

    def __init__(
        self,
        *,
        tokenizer: str = "word",
        characters: bool = False,
        embedding_size: int = 100,
        word_dropout: float = 0.05,
        cell: str = "lstm",
        hidden_size: int = 128,
        num_layers: int = 1,
        bidirectional: bool = True,
        readout: Sequence[str] = ("max", "mean"),
        input_dropout: float = 0.2,
        output_dropout: float = 0.3,
        label_smoothing: float = 0.0,
        ngrams: int = 0,
        class_weights: str = "none",
        valid_share: float = 0.1,
        epochs: float = 10,
        batch_size: int = 32,
        lr: float = 2e-3,
        random_state: int = 0,
        threads: int | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.characters = characters
        self.embedding_size = embedding_size
        self.word_dropout = word_dropout
        self.cell = cell
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bidirectional = bidirectional
        self.readout = readout
        self.input_dropout = input_dropout
        self.output_dropout = output_dropout
        self.label_smoothing = label_smoothing
        self.ngrams = ngrams
        self.class_weights = class_weights
        self.valid_share = valid_share
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.random_state = random_state
        self.threads = threads

    def fit(self, X: Sequence[Any], y: Sequence[Any]) -> Self:
        """Train on sequences and their labels.

        Args:   X: texts; or series [T, I] each, T may differ. y: a label each, of any type that sorts.
        Raises: ConfigError for a parameter; ArgumentError for labels that are not as many, or name two things alike;
                DataError for fewer than two labels; MissingExtraError without torch.
        """
        from rnnkit.api import config as configuration
        from rnnkit.api.classification import ClassifyRunConfig
        from rnnkit.training import fit

        if len(X) != len(y):
            raise ArgumentError(f"X has {len(X)} sequences, y {len(y)} labels; give one for each")
        if np.ndim(y) != 1:
            raise ArgumentError(
                f"y has {np.ndim(y)} axes, a label for each sequence is wanted; several of them go to "
                "rnnkit.Classifier.train, in a file"
            )
        self.classes_ = np.unique(np.asarray(y))
        names = [str(label) for label in np.asarray(y).tolist()]
        if len(set(names)) != len(self.classes_):
            raise ArgumentError("two different labels are written alike; give labels whose texts differ")
        inputs = [one if isinstance(one, str) else np.asarray(one, np.float32) for one in X]
        if wrong := [number for number, one in enumerate(inputs) if not isinstance(one, str) and one.ndim != 2]:
            shape = list(inputs[wrong[0]].shape)  # type: ignore[union-attr]
            raise ArgumentError(f"X[{wrong[0]}] has the shape {shape}; wanted is a text, or frames [T, I]")
        examples = data.Examples(inputs, names, [f"X[{number}]" for number in range(len(inputs))])
        options: dict[str, Any] = {key: value for key, value in self.get_params().items() if key != "random_state"}
        if examples.input_size:
            options = {key: value for key, value in options.items() if key not in _OF_TEXT}
        else:
            options["tokenizer.kind"] = options.pop("tokenizer")
        seeds = {"training.seed": self.random_state, "data.split_seed": self.random_state}
        given = {"data.sources": [_IN_MEMORY], **options, **seeds}
        settings = configuration.build(ClassifyRunConfig, options=given)
        with tempfile.TemporaryDirectory(prefix="rnnkit-") as folder:
            fit(settings.make_task(examples), run_dir=folder, config=settings.training)
            self.model_ = Classifier.load(folder)
        self.model_.path = None  # the folder is gone
        return self

    def predict(self, X: Sequence[Any]) -> np.ndarray:
        """The likeliest label of every sequence, [N]."""
        shares = self.predict_proba(X)
        return self.classes_[shares.argmax(1)]

    def predict_proba(self, X: Sequence[Any]) -> np.ndarray:
        """The probability of every label, [N, C] in the order of `classes_`. Raises: as `Classifier.predict_proba`."""
        check_is_fitted(self)
        columns = [self.model_.labels.index(str(label)) for label in self.classes_.tolist()]
        return self.model_.predict_proba(X)[:, columns]
