"""The language-model task: a text, a recurrent generator that learns to continue it, and what it must beat."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from rnnkit import data
from rnnkit.bundle import evaluation, write_bundle
from rnnkit.models.generator import Generator, GeneratorConfig
from rnnkit.models.window_mlp import WindowMLP, WindowMLPConfig
from rnnkit.runtime import LanguageModel
from rnnkit.tasks.lm_config import LmConfig, ModelConfig
from rnnkit.tasks.lm_table import judge
from rnnkit.tasks.task import Epoch, Peer, TrainingReport
from rnnkit.text import Tokenizer

_EVALUATED_ROWS = 32
_EVALUATED_WINDOW = 256
_NOT_IN_BUNDLE = "0" * 64  # the digest of a model that is only looked at


class Texts:
    """The texts of a run as token ids: training, validation (to choose weights by) and test (for the table).

    Cost: tokenises once; later runs on the same text and tokeniser open the token files in the cache.
    """

    def __init__(self, config: LmConfig) -> None:
        settings, tokenizer = config.data, config.tokenizer
        folder = cache_folder(config)
        prepared = data.prepare(
            settings.sources,
            tokenizer=tokenizer.kind,
            held_out_sources=settings.test_sources,
            held_out=settings.held_out,
            encoding=settings.encoding,
            as_bytes=settings.as_bytes,
            vocab_size=tokenizer.vocab_size,
            min_count=tokenizer.min_count,
            split_punctuation=tokenizer.split_punctuation,
            special_tokens=tokenizer.special_tokens,
            folder=folder,
        )
        self._config = config
        self.tokenizer = prepared.tokenizer
        self.train = prepared.train
        self.test = self.valid = prepared.held_out
        if settings.valid_sources is not None:
            documents = data.read_documents(
                settings.valid_sources, encoding=settings.encoding, as_bytes=settings.as_bytes
            )
            self.valid = data.Corpus.build(documents, self.tokenizer, folder / "valid.tokens")
        if settings.by_line:
            self.train, self.test, self.valid = (
                corpus.by_line(self.tokenizer) for corpus in (self.train, self.test, self.valid)
            )

    def parts(self) -> dict[str, data.Corpus]:
        return {"train": self.train, "valid": self.valid, "test": self.test}

    def identity(self) -> dict[str, Any]:
        """What made them, and digests of what they are, for checkpoints. Where they lie does not count."""
        settings, tokenizer = self._config.data, self._config.tokenizer.model_dump(mode="json")
        return {
            **{f"data.{key}": getattr(settings, key) for key in ("held_out", "encoding", "as_bytes")},
            **{f"tokenizer.{key}": value for key, value in tokenizer.items()},
            "training text": self.train.fingerprint,
            "held-out text": self.valid.fingerprint,
            "tokenizer": self.tokenizer.digest(),
        }


class TextTask:
    """What every model of a text shares: how its windows are cut, and how it is judged while it trains."""

    name: str
    texts: Texts
    both_sides: ClassVar[bool] = False
    """Whether the model is given the tokens on both sides of a target."""

    @property
    def epoch(self) -> Epoch:
        corpus = self.texts.train
        return Epoch(tokens=len(corpus), characters_per_token=corpus.num_characters / len(corpus))

    def streams(self, *, batch_size: int, window: int, stride: int) -> data.Streams:
        corpus = self.texts.train
        return data.Streams(
            corpus.tokens,
            corpus.document_starts,
            begin_id=self.texts.tokenizer.begin_id,
            batch_size=batch_size,
            window=window,
            stride=stride,
            both_sides=self.both_sides,
        )

    def penalty(self, hidden: Tensor, lengths: Tensor, *, ar: float, tar: float) -> Tensor:
        """ar·mean(h_t²) + tar·mean((h_t - h_{t-1})²), over the steps within their row's length.

        Source: Merity, McCann, Socher 2017, "Revisiting activation regularization for language RNNs", eq. 2 and 3.
        """
        steps = torch.arange(len(hidden))[:, None]
        valid = (steps < lengths)[..., None].to(hidden.dtype)  # [T, B, 1]
        size = hidden.shape[-1]
        squares = (hidden.square() * valid).sum() / (valid.sum() * size).clamp(min=1)
        changes = (hidden.diff(dim=0).square() * valid[1:]).sum() / (valid[1:].sum() * size).clamp(min=1)
        return ar * squares + tar * changes

    def evaluate(self, model: torch.nn.Module, *, max_tokens: int) -> dict[str, float]:
        """The mean loss on the validation text, read in 32 places at once, at most `max_tokens` of it.

        Each place starts from the initial state, so the figure lies slightly above the one of the table, which carries
        the state through all of the text; of what is read from the end each window of 256 tokens does.
        """
        corpus, state = self.texts.valid, None
        streams = data.Streams(
            corpus.tokens,
            corpus.document_starts,
            begin_id=self.texts.tokenizer.begin_id,
            batch_size=min(_EVALUATED_ROWS, len(corpus)),
            window=_EVALUATED_WINDOW,
            both_sides=self.both_sides,
        )
        total, count = 0.0, 0
        for window in streams:
            inputs, targets = torch.from_numpy(window.inputs), torch.from_numpy(window.targets)
            if state is not None and window.reset.any():
                state = state.reset(window.reset.nonzero()[0].tolist(), to=model.initial_state(1))  # type: ignore
            weights = torch.from_numpy(window.weights)
            hidden, state = model(inputs, state, lengths=torch.from_numpy(window.lengths))
            total += float(model.loss(hidden, targets, weights).double().sum())  # type: ignore[operator]
            count += int(window.weights.sum())
            if count >= max_tokens:
                break
        return {"nll": total / count, "nats_per_character": total / count * len(corpus) / corpus.num_characters}

    def save(self, model: torch.nn.Module, run_dir: Path) -> None:
        """Write weights, configuration and tokeniser as the bundle that the run half loads."""
        config, tensors = model.export()  # type: ignore[operator]
        write_bundle(run_dir, config=config, tensors=tensors, files=self._files())

    def _files(self) -> dict[str, bytes]:
        return {"tokenizer.json": self.texts.tokenizer.to_json().encode()}


class LanguageModelTask(TextTask):
    """Train a recurrent language model on the texts of a configuration.

    Raises: DataError and ArgumentError for texts and tokenisers that cannot be used, naming file, place and remedy.
    """

    def __init__(self, config: LmConfig) -> None:
        self.config = config
        self.texts = Texts(config)
        shape = config.model
        self.name = name_of(shape)

    def identity(self) -> dict[str, Any]:
        """The model's configuration and the digests of texts and tokeniser."""
        model = self.config.model.model_dump(mode="json", exclude={"bidirectional"})
        return {**{f"model.{key}": value for key, value in model.items()}, **self.texts.identity()}

    def build_model(self) -> Generator:
        return Generator(generator_config(self.config.model, self.texts.tokenizer))

    def sample(self, model: torch.nn.Module, *, seed: int) -> str | None:
        """A text from the run half, as `rnnkit sample` would write it with these weights."""
        settings = self.config.samples
        if not settings.sample_tokens:
            return None
        config, tensors = model.export()  # type: ignore[operator]
        language_model = LanguageModel.from_parts(config, tensors, self.texts.tokenizer, digest=_NOT_IN_BUNDLE)
        options = {"max_new_tokens": settings.sample_tokens, "temperature": settings.sample_temperature}
        pieces = language_model.generate(settings.sample_prompt, seed=seed, **options)
        return settings.sample_prompt + "".join(pieces)

    def peers(self) -> Mapping[str, Peer]:
        """The window MLP, if it is among the baselines."""
        settings = self.config.baselines
        if "window-mlp" not in settings.kinds:
            return {}
        return {"window-mlp": Peer(WindowMlpTask(self.config, self.texts), {"lr": settings.mlp_lr})}

    def _files(self) -> dict[str, bytes]:
        corpus = self.texts.test
        sample = evaluation.to_bytes(corpus.tokens, corpus.document_starts)
        return super()._files() | {evaluation.NAME: sample}

    def finish(
        self,
        run_dir: Path,
        *,
        report: TrainingReport,
        peers: Sequence[tuple[str, TrainingReport]],
        note: Callable[[str], None],
    ) -> dict[str, Any]:
        """The saved model and all baselines on all of the test text; writes `metrics.json` and `baselines/`."""
        train, test = len(self.texts.train), len(self.texts.test)
        note(f"counting n-grams of {train:,} tokens, and judging every row of the table on {test:,}")
        return judge(run_dir, name=self.name, config=self.config, texts=self.texts, report=report, peers=peers)


class WindowMlpTask(TextTask):
    """Train the fixed-window MLP on texts that are already there."""

    name = "window-mlp"

    def __init__(self, config: LmConfig, texts: Texts) -> None:
        self.config, self.texts = config, texts

    def identity(self) -> dict[str, Any]:
        settings = self.config.baselines.model_dump(mode="json")
        own = {f"baselines.{key}": value for key, value in settings.items() if key.startswith("mlp_")}
        return {**own, **self.texts.identity()}

    def build_model(self) -> WindowMLP:
        settings, tokenizer = self.config.baselines, self.texts.tokenizer
        is_fine = tokenizer.kind in ("char", "byte")
        return WindowMLP(
            WindowMLPConfig(
                vocab_size=tokenizer.vocab_size,
                begin_id=tokenizer.begin_id,
                order=settings.mlp_order or (11 if is_fine else 6),
                embedding_size=settings.mlp_embedding_size or (32 if is_fine else 128),
                hidden_size=settings.mlp_hidden_size,
                direct=settings.mlp_direct,
                softmax=self.config.model.softmax,
                cutoffs=self.config.model.cutoffs,
            )
        )

    def sample(self, model: torch.nn.Module, *, seed: int) -> str | None:
        return None


def name_of(shape: ModelConfig) -> str:
    """What the table calls a model of these layers."""
    return shape.cell.replace("_", "-") if shape.num_layers == 1 else f"{shape.num_layers}-layer {shape.cell}"


def generator_config(shape: ModelConfig, tokenizer: Tokenizer) -> GeneratorConfig:
    """The configuration of a run's model on the tokens of its text."""
    fields = shape.model_dump(exclude={"bidirectional"})
    return GeneratorConfig(vocab_size=tokenizer.vocab_size, unk_id=tokenizer.unk_id, **fields)


def cache_folder(config: LmConfig) -> Path:
    """Where the token files of these sources in this tokeniser live; their content is checked by digest when opened."""
    if config.data.cache_dir is not None:
        base = Path(config.data.cache_dir)
    elif given := os.environ.get("RNNKIT_CACHE"):
        base = Path(given)
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "rnnkit"
    sections = {"data": config.data.model_dump(mode="json"), "tokenizer": config.tokenizer.model_dump(mode="json")}
    for key in ("sources", "valid_sources", "test_sources"):
        paths = sections["data"][key]
        sections["data"][key] = paths and [str(Path(path).resolve()) if path != "-" else path for path in paths]
    key = hashlib.sha256(json.dumps(sections, sort_keys=True).encode()).hexdigest()
    return base / "tokens" / key[:16]
