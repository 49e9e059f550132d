"""What requests hold, for validation and OpenAPI. Ranges that the runtime checks are its own."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _whole(text: str) -> str:
    """JSON can spell half a character. Raises: ValueError, which names the field."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"a lone surrogate at character {error.start}: this is no text") from None
    return text


Number = Annotated[float, Field(allow_inf_nan=False)]
Text = Annotated[str, AfterValidator(_whole)]
Start = Annotated[int, Field(ge=-(2**40), le=2**40)]
_MAX_TOP = 100


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Open(_Body):
    """A new session, or one that goes on from an exported state."""

    model: Text | None = Field(None, description="its name; may be left out where one language model is served")
    state: Text | None = Field(None, description="as GET /v1/sessions/{session}/state gave it")


class Step(_Body):
    """Text or ids to read."""

    text: Text | None = None
    ids: list[int] | None = Field(None, description="of the model's tokeniser, in place of text")
    top: int = Field(5, ge=0, le=_MAX_TOP, description="how many of the likeliest next tokens are told")
    log_probs: bool = Field(False, description="whether those of every token are told")
    hidden: bool = Field(False, description="whether the hidden state of every layer is told, -127 … 127 for -1 … 1")


class Generate(_Body):
    """Text to write, as `LanguageModel.generate`; random numbers go on where the session's last ones ended."""

    prompt: Text = ""
    max_new_tokens: int = Field(200, ge=0)
    temperature: Number = 1.0
    top_k: int = 0
    top_p: Number = 1.0
    min_p: Number = 0.0
    repetition_penalty: Number = 1.0
    no_repeat_ngram_size: int = 0
    seed: int = Field(0, ge=0, lt=2**63)
    prefix: Text = ""
    stop: Text | list[Text] | None = None
    regex: Text | None = None
    stream: bool = Field(True, description="server-sent events as text comes; else one JSON answer")
    top: int = Field(0, ge=0, le=_MAX_TOP)
    hidden: bool = False

    def options(self) -> dict[str, Any]:
        """Those of `rnnkit.runtime.generation.Options`, but for `first_step`."""
        given = self.model_dump(exclude={"prompt", "stream", "top", "hidden", "state"})
        return given | {"stop": (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())}


class StatelessStep(Step):
    """A step whose state travels with the client."""

    state: Text | None = Field(None, description="of the answer before; left out: a new text begins")


class StatelessGenerate(Generate):
    """Generation whose state travels with the client."""

    state: Text | None = None


class Complete(_Body):
    """A text whose next word is asked for."""

    text: Text
    k: int = Field(10, ge=1, le=_MAX_TOP)


class Classify(_Body):
    """Sequences to label: texts, or of a model of numbers lists of steps."""

    sequences: list[Text] | list[list[list[Number]]] = Field(max_length=1024)


class Tag(_Body):
    """Sentences to tag, each a list of words."""

    sentences: list[list[Text]] = Field(max_length=1024)


class Frames(_Body):
    """Recordings to label, each a list of frames, each a list of numbers."""

    recordings: list[list[list[Number]]] = Field(max_length=1024)


class Translate(_Body):
    """Sources to translate, as `EncoderDecoder.translate`."""

    texts: list[Text] = Field(max_length=1024)
    num_beams: int = Field(5, ge=1, le=64)
    length_penalty: Number = 1.0


class Forecast(_Body):
    """Series to go on with, each a list of numbers, null where one is missing."""

    series: list[list[Number | None]] = Field(max_length=1024)
    horizon: int | None = Field(None, ge=1, le=100_000, description="steps ahead; left out: those it was trained on")
    starts: list[Start] | None = Field(None, description="of each series its first step: hours, days … since 1970")
    ids: list[Text] | None = Field(None, description="their names, for a model that tells series apart")


class Observe(_Body):
    """The next value of a series, null where it is missing, whose state travels with the client."""

    value: Number | None
    state: Text | None = Field(None, description="of the answer before; left out: a series begins")
    start: Start | None = Field(None, description="where it begins its first step: hours, days … since 1970")
    id: Text | None = Field(None, description="where it begins its name, for a model that tells series apart")
    past: list[Number] | None = Field(None, description="this step's covariates, for a model that reads them")
    future: list[list[Number]] | None = Field(None, description="those of the steps ahead, likewise")
