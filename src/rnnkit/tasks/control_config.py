"""ControlConfig: every choice of a run that learns to act; torch-free, as the whole run is."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from rnnkit.tasks.sections import CellName, Section, SequencesRunConfig, Widths


class ControlDataConfig(Section):
    """In what it acts, and what of it is seen."""

    sources: list[str] | None = Field(default=None, description="One environment, as Gymnasium registers it.")
    observe: tuple[str, ...] = Field(default=(), description="Columns that the policy sees; none named: all.")
    hide: tuple[str, ...] = Field(default=(), description="Columns that it does not see, in place of `observe`.")
    max_steps: int | None = Field(
        default=None, ge=1, description="After which an episode is cut off; None: the environment's own limit."
    )
    num_valid: int = Field(default=50, ge=2, description="Episodes that choose the weights.")
    num_test: int = Field(default=100, ge=2, description="Episodes of the table, none of them seen before.")

    has_files: ClassVar = False

    @model_validator(mode="after")
    def _has_an_environment(self) -> ControlDataConfig:
        if self.sources is None or len(self.sources) != 1:
            raise ValueError(f"data.sources is {self.sources}: name one environment, CartPole-v1 for example")
        if self.observe and self.hide:
            raise ValueError("data.observe and data.hide both say which columns are seen: give one of them")
        return self


class PolicyConfig(Section):
    """The layers of the policy, and of the one without memory beside it."""

    cell: CellName = Field(default="elman_tanh", description="One time step.")
    hidden_size: Widths = Field(default=8, description="Units per layer H; or the width of each layer.")
    num_layers: int = Field(default=1, ge=1, description="Recurrent layers L.")


class SearchConfig(Section):
    """CMA-ES over all weights at once."""

    seed: int = Field(default=0, ge=0, lt=2**31, description="Of the search and its episodes.")
    generations: int = Field(default=120, ge=1, description="Of the search, at most.")
    population: int | None = Field(default=None, ge=4, description="Policies of a generation; None: 4 + 3 ln n.")
    episodes: int = Field(default=8, ge=1, description="That each of them plays, all of a generation the same ones.")
    sigma: float = Field(default=1.0, gt=0, description="Standard deviation of the weights at the start.")
    eval_every: int = Field(default=5, ge=1, description="Generations between validations of the search's mean.")
    target: float | None = Field(
        default=None, description="Mean return of the validation episodes at which the search ends; None: none."
    )
    time_limit_s: float | None = Field(default=None, gt=0, description="Seconds of a search, at most.")


ControlBaseline = Literal["feed-forward", "random"]


class ControlBaselinesConfig(Section):
    """What the policy is seen beside: the same network that forgets after every step, and chance."""

    kinds: tuple[ControlBaseline, ...] = Field(
        default=("feed-forward", "random"), min_length=1, description="Which the table shows."
    )


class ControlConfig(SequencesRunConfig):
    """A run that learns to act: environment, policy, search, baselines."""

    data: ControlDataConfig = Field(default_factory=ControlDataConfig)
    model: PolicyConfig = Field(default_factory=PolicyConfig)
    training: SearchConfig = Field(default_factory=SearchConfig)
    baselines: ControlBaselinesConfig = Field(default_factory=ControlBaselinesConfig)
