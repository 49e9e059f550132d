"""A trained recurrent language model: text in, text and probabilities out, no torch anywhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from rnnkit.errors import ArgumentError
from rnnkit.metrics import LanguageModelScore
from rnnkit.runtime import beam, generation
from rnnkit.runtime.beam import Hypothesis
from rnnkit.runtime.model import NextTokenModel
from rnnkit.runtime.stack import Parts, Stack
from rnnkit.state import State
from rnnkit.text import Tokenizer

if TYPE_CHECKING:
    from rnnkit.runtime.grammar import Grammar

_MAX_GRAMMARS = 8


class LanguageModel(NextTokenModel):
    """A generator with its tokeniser.

    model = LanguageModel.load("runs/shakespeare")
    for piece in model.generate("ROMEO:", temperature=0.8, seed=1):
        print(piece, end="")
    model.complete("the students opened their", k=5)    # [(" books", 0.31), …]
    model.score(text).bits_per_character
    """

    kind = "language_model"

    def __init__(
        self,
        config: Mapping[str, Any],
        tensors: Mapping[str, np.ndarray],
        tokenizer: Tokenizer | None = None,
        *,
        digest: str | None = None,
        precision: str | None = None,
    ) -> None:
        if tokenizer is None:
            raise ArgumentError("a language model reads text by its tokeniser; pass tokenizer=")
        super().__init__(config, tensors, tokenizer, digest=digest, precision=precision)
        self.tokenizer = tokenizer
        self.begin_id = tokenizer.begin_id
        self._stack = Stack(config["model"], self._weights, self.precision)
        self._grammars: dict[str, Grammar] = {}
        names = self._stack.part_names
        self._parts = tuple(tuple(zip(names, layer.part_sizes, strict=True)) for layer in self._stack.layers)

    @overload
    def generate(
        self,
        prompt: str = "",
        *,
        max_new_tokens: int = ...,
        temperature: float = ...,
        top_k: int = ...,
        top_p: float = ...,
        min_p: float = ...,
        repetition_penalty: float = ...,
        no_repeat_ngram_size: int = ...,
        seed: int = ...,
        stream: int = ...,
        first_step: int = ...,
        state: State | None = ...,
        prefix: str = ...,
        stop: str | Sequence[str] | None = ...,
        regex: str | None = ...,
    ) -> Iterator[str]: ...

    @overload
    def generate(
        self,
        prompt: list[str] | tuple[str, ...],
        *,
        max_new_tokens: int = ...,
        temperature: float = ...,
        top_k: int = ...,
        top_p: float = ...,
        min_p: float = ...,
        repetition_penalty: float = ...,
        no_repeat_ngram_size: int = ...,
        seed: int = ...,
        stream: int = ...,
        first_step: int = ...,
        state: State | None = ...,
        prefix: str = ...,
        stop: str | Sequence[str] | None = ...,
        regex: str | None = ...,
    ) -> list[str]: ...

    def generate(
        self,
        prompt: str | list[str] | tuple[str, ...] = "",
        *,
        max_new_tokens: int = 200,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
        repetition_penalty: float = 1.0,
        no_repeat_ngram_size: int = 0,
        seed: int = 0,
        stream: int = 0,
        first_step: int = 0,
        state: State | None = None,
        prefix: str = "",
        stop: str | Sequence[str] | None = None,
        regex: str | None = None,
    ) -> Iterator[str] | list[str]:
        """Continue a text, at the start of a document where the prompt is empty.

        Args:
            prompt: one text, or several that are continued side by side.
            max_new_tokens: how many tokens are drawn at most.
            temperature, top_k, top_p, min_p, repetition_penalty: as `rnnkit.kernels.decode.sample`; the penalty counts
                prompt and new tokens. Temperature 0 takes the most probable token.
            no_repeat_ngram_size: no run of so many tokens, of prompt and new ones, comes twice; 0: any may.
            seed, stream: the name of the random numbers. Prompt i of a list draws from stream + i, so that
                `generate(prompts, seed=s)[i] == "".join(generate(prompts[i], seed=s, stream=i))`.
            state: what was read before the prompts, as `read` gives it: one row for each prompt, which then begins no
                document and may be empty. Penalty, n-grams and regex know the prompt and the new text alone.
            first_step: how many tokens were drawn from the streams before: so a text goes on as if it had not been
                interrupted.
            prefix: what every new text begins with: it is read as if it stood at the end of the prompt, and
                `max_new_tokens` counts what follows it.
            stop: strings that end the text; they are not part of it.
            regex: what all of the new text matches, as `re.fullmatch(…, flags=re.ASCII)` reads it; the guide has the
                list of what is understood. The text ends where it matches and the model draws a token that does not go
                on with it, or none could; tokens after which `max_new_tokens` would be too few are not drawn.
        Returns: the new text: for one prompt an iterator over pieces of whole characters, as they come; for several
            a list of strings. The same on every run, for any number of threads and any other prompts.
        Cost:    of a token: reading the weights once, in the native core and without the GIL; pieces come after 1, 2, 4
            … 64 tokens, fewer when they take long. `no_repeat_ngram_size` and `regex` choose in Python what may come,
            token by token; an adaptive softmax and residual layers draw there too.
        Raises:  ArgumentError at the call, for an option out of range and, with the place, for a regex that this model
            cannot match; DataError for a prompt that does not encode; StateError for another model's state.
        """
        options = generation.Options(
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            min_p=min_p,
            repetition_penalty=repetition_penalty,
            no_repeat_ngram_size=no_repeat_ngram_size,
            seed=seed,
            first_step=first_step,
            prefix=prefix,
            stop=(stop,) if isinstance(stop, str) else tuple(stop or ()),
            regex=regex,
        )
        if isinstance(prompt, str):
            return generation.pieces(self, prompt, options, stream=stream, state=state)
        return generation.texts(self, list(prompt), options, stream=stream, state=state)

    def read(self, text: str | bytes, state: State | None = None) -> State:
        """The state of one stream after a text: from the start of a document, or going on from `state`.

            state = model.read("Once upon a ")
            data = state.to_bytes()                            # keep it; a fork is the same value used twice
            "".join(model.generate("time", state=state))       # what follows "Once upon a time"

        Raises: DataError for text that does not encode; StateError, ShapeError for a state that is not one row of this
            model's.
        Cost:   one pass over the text, without scores.
        """
        parts = None if state is None else self._checked(state, 1)
        return self._state(generation.read_prompts(self, [self.tokenizer.encode(text)], parts)[1])

    @overload
    def beam_search(
        self,
        prompt: str = "",
        *,
        num_beams: int = ...,
        num_return: int = ...,
        length_penalty: float = ...,
        max_new_tokens: int = ...,
        no_repeat_ngram_size: int = ...,
        state: State | None = ...,
        prefix: str = ...,
        stop: str | Sequence[str] | None = ...,
        regex: str | None = ...,
    ) -> list[Hypothesis]: ...

    @overload
    def beam_search(
        self,
        prompt: list[str] | tuple[str, ...],
        *,
        num_beams: int = ...,
        num_return: int = ...,
        length_penalty: float = ...,
        max_new_tokens: int = ...,
        no_repeat_ngram_size: int = ...,
        state: State | None = ...,
        prefix: str = ...,
        stop: str | Sequence[str] | None = ...,
        regex: str | None = ...,
    ) -> list[list[Hypothesis]]: ...

    def beam_search(
        self,
        prompt: str | list[str] | tuple[str, ...] = "",
        *,
        num_beams: int = 4,
        num_return: int = 1,
        length_penalty: float = 1.0,
        max_new_tokens: int = 200,
        no_repeat_ngram_size: int = 0,
        state: State | None = None,
        prefix: str = "",
        stop: str | Sequence[str] | None = None,
        regex: str | None = None,
    ) -> list[Hypothesis] | list[list[Hypothesis]]:
        """The likeliest continuations of a text that the search meets, the best first, with their scores.

            score = Σ log p(token) / num_tokens ** length_penalty

        Args:
            prompt: one text, or several that are searched side by side.
            num_beams: how many continuations are followed; 1 is greedy.
            num_return: how many are returned, at most `num_beams`; fewer where there are not so many.
            length_penalty: above 0 favours longer texts, below 0 shorter ones, where `stop` or `regex` ends them.
            max_new_tokens, no_repeat_ngram_size, state, prefix, stop, regex: as in `generate`.
        Returns: for one prompt a list of `Hypothesis`; for several a list of such lists. A prompt's are the same bits
            whatever the other prompts are, and for any number of threads.
        Cost:    of a token: a step of `num_beams` rows, and a look at num_beams · V scores by way of Python. It ends
            early when no beam can still become better than what was found.
        Raises:  ArgumentError, DtypeError for an option out of range; DataError for a prompt that does not encode;
            StateError for another model's state.
        Source:  Wu et al. 2016, arXiv:1609.08144, section 7, for the search; the penalty is Hugging Face's power.
        """
        options = beam.Options(
            num_beams=num_beams,
            num_return=num_return,
            length_penalty=length_penalty,
            max_new_tokens=max_new_tokens,
            no_repeat_ngram_size=no_repeat_ngram_size,
            prefix=prefix,
            stop=(stop,) if isinstance(stop, str) else tuple(stop or ()),
            regex=regex,
        )
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        found = beam.search(self, prompts, options, state=state)
        return found[0] if isinstance(prompt, str) else found

    def complete(self, prompt: str, k: int = 10) -> list[tuple[str, float]]:
        """The k most probable next words, with their probabilities, the most probable first.

        For a word model the next token as `token_text` shows it. For others a next word (or punctuation mark) is
        spelled out of tokens, and comes as the text to append: " books" begins a word, "s" ends the prompt's last one.

        Cost: for a word model one pass over the prompt; else a beam search of a few hundred steps more.
        """
        if k < 1:
            raise ArgumentError(f"k is {k}; ask for at least one completion")
        from rnnkit.runtime import completion  # here, as below: not every program asks for it, and imports cost time

        return completion.complete(self, prompt, k)

    def score(self, text: str | bytes, *, reset_per_line: bool = False) -> LanguageModelScore:
        """How well the model predicts a text, as one document or (`reset_per_line`) as one document per line.

        An unknown token costs `tokenizer.unknown_nats` beside its own probability, so that vocabularies compare.

        Raises: DataError for text that does not encode; ArgumentError for a text without a token.
        """
        from rnnkit.runtime import scoring

        return LanguageModelScore(**scoring.measured(self, text, reset_per_line=reset_per_line))

    def embed(self, texts: Sequence[Any], *, readout: str | Sequence[str] = "last") -> np.ndarray:
        """A vector for every text, each from a fresh state: the top layer's outputs over its tokens, float32 [N, R·H].

        Args:   texts: each a text, or its ids [T]; T may be 0: then it is the begin token's output.
                readout: of the outputs behind the begin token and each of the text "last", their "mean" or "max"; one
                or several, side by side.
        Raises: ArgumentError, DtypeError; DataError for a text that the tokeniser does not take.
        Cost:   64 texts of similar length at a time, the longest of them in memory.
        """
        from rnnkit.runtime import embedding

        return embedding.embed(self, texts, readout)

    def _grammar(self, regex: str) -> Grammar:
        """A regular expression over the tokens; the last few are remembered."""
        from rnnkit.runtime.grammar import Grammar

        found = self._grammars.pop(regex, None) or Grammar(regex, self.tokenizer)
        self._grammars[regex] = found
        if len(self._grammars) > _MAX_GRAMMARS:
            del self._grammars[next(iter(self._grammars))]
        return found

    @property
    def _output_size(self) -> int:
        """How wide what `_outputs` gives is."""
        return self._parts[-1][0][1]  # of h

    def _outputs(self, ids: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """The top layer's outputs over [T, B] from a fresh state, for `embed`: [T, B, H]."""
        return self._stack.forward(ids, self._stack.initial(len(lengths)), lengths=lengths)[0]

    def _initial_parts(self, batch: int) -> Parts:
        return self._stack.initial(batch)

    def _forward(self, ids: np.ndarray, parts: Parts, *, lengths: np.ndarray | None) -> tuple[np.ndarray, Parts]:
        return self._stack.forward(ids, parts, lengths=lengths)

    def _step(self, ids: np.ndarray, parts: Parts) -> tuple[np.ndarray, Parts]:
        return self._stack.step(ids, parts)
