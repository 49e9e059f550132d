"""What every model that writes one text for another can do: translate, and say what a target costs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self, overload

import numpy as np

from rnnkit.bundle import Bundle, evaluation
from rnnkit.errors import ArgumentError, DtypeError, SchemaError
from rnnkit.kernels import decode
from rnnkit.runtime import beam
from rnnkit.runtime.beam import Hypothesis
from rnnkit.runtime.bundled import BundledModel
from rnnkit.runtime.likelihood import row_limit
from rnnkit.runtime.reader import ROWS
from rnnkit.runtime.softmax import Softmax
from rnnkit.runtime.stack import Parts
from rnnkit.text import SourceAndTarget

TEXTS = "source_target.json"


class Writer(BundledModel):
    """Reads one sequence of tokens and writes another. A text's result is the same, bit for bit, whatever stands beside
    it in the call.
    """

    _softmax: Softmax

    def __init__(
        self,
        config: Mapping[str, Any],
        tensors: Mapping[str, np.ndarray],
        *,
        texts: SourceAndTarget,
        digest: str | None = None,
        precision: str | None = None,
    ) -> None:
        """Of a configuration and its float32 arrays in memory, for example those of `export`.

        Args:   texts: how sources and targets are cut.  digest: of the bundle they come from; None: the one that `save`
                would give.  precision: as in `load`.
        Raises: SchemaError, TensorError for parts that do not belong together.
        """
        files = {TEXTS: texts.to_json().encode()}
        super().__init__(config, tensors, texts.target, files=files, digest=digest, precision=precision)
        model = self.config["model"]
        if texts.source.vocab_size != model["source_vocab_size"]:
            raise SchemaError(
                f"the source's tokeniser has {texts.source.vocab_size} tokens, the model {model['source_vocab_size']}; "
                "take both from one run"
            )
        self.texts, self.vocab_size = texts, model["vocab_size"]
        self.begin_id = self.end_id = texts.end_id

    @classmethod
    def _of(cls, bundle: Bundle, precision: str | None) -> Self:
        if TEXTS not in bundle.files or bundle.tokenizer is None:
            raise SchemaError(f"the bundle of an encoder-decoder lists no {TEXTS} or no tokeniser; write it again")
        try:
            texts = SourceAndTarget.from_json(bundle.files[TEXTS].decode("utf-8"), target=bundle.tokenizer)
        except ValueError as error:  # DataError, or bytes that are no UTF-8
            raise SchemaError(f"{TEXTS}: {error}") from error
        return cls(bundle.config, bundle.tensors, texts=texts, digest=bundle.digest, precision=precision)

    # ---- whole texts -------------------------------------------------------------------------------------------------

    @overload
    def translate(
        self,
        texts: Sequence[str],
        *,
        num_beams: int = ...,
        n_best: None = ...,
        length_penalty: float = ...,
        max_new_tokens: int | None = ...,
        no_repeat_ngram_size: int = ...,
        early_stopping: bool = ...,
    ) -> list[str]: ...

    @overload
    def translate(
        self,
        texts: Sequence[str],
        *,
        n_best: int,
        num_beams: int = ...,
        length_penalty: float = ...,
        max_new_tokens: int | None = ...,
        no_repeat_ngram_size: int = ...,
        early_stopping: bool = ...,
    ) -> list[list[Hypothesis]]: ...

    def translate(
        self,
        texts: Sequence[str],
        *,
        num_beams: int = 5,
        n_best: int | None = None,
        length_penalty: float = 1.0,
        max_new_tokens: int | None = None,
        no_repeat_ngram_size: int = 0,
        early_stopping: bool = False,
    ) -> list[str] | list[list[Hypothesis]]:
        """What the model writes for each source: the likeliest text that the search meets.

            score = log p(text, its end | source) / num_tokens ** length_penalty

        Args:
            num_beams: how many texts are followed at a time; 1 is greedy.
            n_best: how many are returned for each source, as `Hypothesis`, the best first; None: the best one's text.
            length_penalty: above 0 favours longer texts, below 0 shorter ones.
            max_new_tokens: where a text is cut off; None: at twice the source's tokens and twenty more.
            no_repeat_ngram_size: no run of so many tokens comes twice in a text; 0: any may.
            early_stopping: end a search at `num_beams` whole texts, not when no better one can come.
        Returns: for each source a text, or a list of hypotheses; the same bits whatever the other sources are, and for
            any number of threads. A text without an end is returned only where none with one was found.
        Raises:  ArgumentError, DtypeError for an option out of range; DataError naming a source that does not encode.
        Cost:    of a token: a step of `num_beams` rows and a look at num_beams · V scores; sources of similar length
            run side by side.
        Source:  Wu et al. 2016, arXiv:1609.08144, section 7; the penalty is Hugging Face's power.
        """
        is_count = type(n_best) is int and type(num_beams) is int
        if n_best is not None and not (is_count and 1 <= n_best <= num_beams):
            raise ArgumentError(
                f"n_best is {n_best!r}; give an integer from 1 to num_beams, {num_beams}, or raise that"
            )
        options = beam.Options(
            num_beams=num_beams,
            num_return=1 if n_best is None else n_best,
            length_penalty=length_penalty,
            max_new_tokens=1 if max_new_tokens is None else max_new_tokens,
            no_repeat_ngram_size=no_repeat_ngram_size,
            prefix="",
            stop=(),
            regex=None,
            early_stopping=early_stopping or num_beams == 1,  # greedy: the first end is the end
        )
        options.check()
        sources = self._encoded(texts)
        found: list[list[Hypothesis]] = [[] for _ in sources]
        for rows in self._side_by_side(sources, num_beams):
            most = [2 * len(sources[row]) + 20 if max_new_tokens is None else max_new_tokens for row in rows]
            features, parts = self._begun([sources[row] for row in rows])
            of_rows = beam.continued(self, features, parts, options, most=most)
            for row, hypotheses in zip(rows, of_rows, strict=True):
                found[row] = hypotheses
        return [hypotheses[0].text for hypotheses in found] if n_best is None else found

    def sample(
        self,
        texts: Sequence[str],
        *,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
        seed: int = 0,
        stream: int = 0,
        max_new_tokens: int | None = None,
    ) -> list[str]:
        """What the model writes for each source when every token is drawn, in place of the likeliest text.

        Args:    temperature, top_k, top_p, min_p: as `rnnkit.kernels.decode.sample`. seed, stream: the name of the
                     random numbers; text i draws from stream + i. max_new_tokens: as of `translate`.
        Returns: a text for each source: the same on every run, whatever the other sources are.
        Raises:  as `translate`.
        """
        if max_new_tokens is not None and (type(max_new_tokens) is not int or max_new_tokens < 0):
            raise ArgumentError(f"max_new_tokens is {max_new_tokens!r}; give an integer of 0 or more")
        drawing: Any = {"seed": seed, "temperature": temperature, "top_k": top_k, "top_p": top_p, "min_p": min_p}
        sources = self._encoded(texts)
        written: list[list[int]] = [[] for _ in sources]
        for rows in self._side_by_side(sources, 1):
            most = [2 * len(sources[row]) + 20 if max_new_tokens is None else max_new_tokens for row in rows]
            features, parts = self._begun([sources[row] for row in rows])
            live = [place for place, limit in enumerate(most) if limit]
            for step in range(max(most)):
                if not live:
                    break
                if len(live) < len(features):
                    features, parts = features[live], [tuple(array[live] for array in arrays) for arrays in parts]
                    rows, most = [rows[place] for place in live], [most[place] for place in live]
                streams = np.array([stream + row for row in rows], np.int64)
                tokens = decode.sample(self._softmax.log_probs(features), streams=streams, step=step, **drawing)
                for row, token in zip(rows, tokens.tolist(), strict=True):
                    if token != self.end_id:
                        written[row].append(token)
                live = [at for at, limit in enumerate(most) if tokens[at] != self.end_id and step + 1 < limit]
                features, parts = self._step(tokens, parts)
        return [self.texts.decode(ids) for ids in written]

    def score(self, pairs: Iterable[tuple[str, str]]) -> np.ndarray:
        """log p(target, its end | source) of every pair, in nats, float64 [N].

        An unknown token costs `unknown_nats` of its tokeniser beside its own probability.

        Raises: DataError naming a text that does not encode.
        """
        return np.array([-nats.sum() for nats in self.nll(pairs)], np.float64)

    def nll(self, pairs: Iterable[tuple[str, str]]) -> list[np.ndarray]:
        """What each token of each target costs, the last one its end, in nats: float64 [T] for every pair."""
        texts = list(pairs)
        sources = self._encoded([source for source, _ in texts])
        targets = [self._target(target, number) for number, (_, target) in enumerate(texts)]
        found: list[np.ndarray] = [np.empty(0)] * len(texts)
        unknown = self.texts.target.unk_id
        for rows in self._side_by_side(sources, max((len(target) for target in targets), default=1)):
            hidden, _ = self._forced([sources[row] for row in rows], [targets[row] for row in rows])
            for column, row in enumerate(rows):
                wanted = targets[row]
                log_probs = self._softmax.log_probs(np.ascontiguousarray(hidden[: len(wanted), column]))
                found[row] = -log_probs[np.arange(len(wanted)), wanted].astype(np.float64)
                if unknown is not None:
                    found[row] += self.texts.target.unknown_nats * (wanted == unknown)
        return found

    def evaluation_sample(self) -> list[tuple[str, str]] | None:
        """The held-out pairs that the bundle keeps, as `nll` takes them; None: it keeps none.

        Raises: JsonError, SchemaError for a file that is not what was written.
        """
        return evaluation.pairs_from_files(self._files)

    # ---- what a kind of model adds -----------------------------------------------------------------------------------

    @abstractmethod
    def _begun(self, sources: Sequence[np.ndarray]) -> tuple[np.ndarray, Parts]:
        """Ids of sources -> what the first token of each target is scored from [B, F], and the parts."""

    @abstractmethod
    def _step(self, ids: np.ndarray, parts: Parts) -> tuple[np.ndarray, Parts]:
        """ids [B] -> what the next token is scored from [B, F], and the parts, arrays over the same B rows."""

    @abstractmethod
    def _forced(self, sources: Sequence[np.ndarray], targets: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Every target read as it is: what each of its tokens is scored from [T, B, F], where it looked [T, B, S]."""

    # ---- texts as ids ------------------------------------------------------------------------------------------------

    def _encoded(self, texts: Sequence[str]) -> list[np.ndarray]:
        if isinstance(texts, str | bytes):
            raise DtypeError("texts is a single text; put it in a list: [text]")
        return [self._checked_text(text, number, self.texts.encode_source) for number, text in enumerate(texts)]

    def _target(self, text: str, number: int) -> np.ndarray:
        return self._checked_text(text, number, self.texts.encode_target)

    def _checked_text(self, text: Any, number: int, encode: Any) -> np.ndarray:
        if not isinstance(text, str):
            raise DtypeError(f"text {number} must be a str, got {type(text).__name__}; decode it first")
        try:
            return encode(text)
        except ValueError as error:  # DataError
            raise type(error)(f"text {number}: {error}") from None

    def _side_by_side(self, sources: Sequence[np.ndarray], rows_each: int) -> list[list[int]]:
        """Which sources run together: of similar lengths, as many as keep the scores of all rows small."""
        size = max(1, min(ROWS, row_limit(self.vocab_size) // max(rows_each, 1)))
        order = sorted(range(len(sources)), key=lambda row: len(sources[row]))
        return [order[first : first + size] for first in range(0, len(order), size)]
