"""TrainConfig: every choice of the training loop, with its unit; what is not listed here cannot be set."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

DEFAULT_TIME_LIMIT_S = 120.0

# What belongs to one optimiser or schedule alone. Setting it beside another one would do nothing, so it is refused.
_OWNERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "betas": ("optimizer", ("adamw",)),
    "momentum": ("optimizer", ("sgd", "asgd")),
    "asgd_patience": ("optimizer", ("asgd",)),
    "min_lr": ("schedule", ("cosine", "plateau")),
    "plateau_patience": ("schedule", ("plateau",)),
    "plateau_factor": ("schedule", ("plateau",)),
}


class TrainConfig(BaseModel):
    """How to train. JSON-able both ways: `TrainConfig(**config.model_dump())` is the same configuration.

    Of `time_limit_s`, `max_steps` and `epochs` the one that ends first counts; with none of them training takes two
    minutes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    seed: int = Field(
        default=0, ge=0, lt=2**63, description="Seeds the first weights, dropout and the training-time samples."
    )

    # ---- truncated BPTT
    batch_size: int = Field(default=64, ge=1, description="Parallel streams B (rows).")
    window: int = Field(default=32, ge=1, description="Steps that the gradient flows back through (tokens).")
    stride: int | None = Field(
        default=None, ge=1, description="Tokens per row and update, at most `window`; None: `window`."
    )

    # ---- budget
    time_limit_s: float | None = Field(
        default=None,
        gt=0,
        description="Seconds of training, evaluations within it included; becomes a number of steps once.",
    )
    max_steps: int | None = Field(default=None, ge=1, description="Updates.")
    epochs: float | None = Field(default=None, gt=0, description="Passes over the training text; may be a fraction.")

    # ---- optimiser
    optimizer: Literal["adamw", "sgd", "asgd"] = Field(
        default="adamw", description="asgd is SGD that averages its weights once evaluation stops improving (NT-ASGD)."
    )
    lr: float = Field(default=5e-3, gt=0, description="Peak learning rate.")
    betas: tuple[float, float] = Field(default=(0.9, 0.99), description="AdamW's decays of the two moments, per step.")
    momentum: float = Field(default=0.0, ge=0, lt=1, description="SGD's momentum.")
    asgd_patience: int = Field(
        default=5, ge=1, description="Evaluations without improvement after which asgd averages."
    )
    weight_decay: float = Field(
        default=0.01, ge=0, description="Decay of weight matrices; biases and embedding tables are never decayed."
    )

    # ---- schedule
    schedule: Literal["cosine", "plateau", "constant"] = Field(
        default="cosine", description="What follows the warm-up."
    )
    warmup_steps: int = Field(
        default=50, ge=0, description="Updates from 0 to the peak rate, in a straight line; at most a fifth of the run."
    )
    min_lr: float = Field(default=0.0, ge=0, description="Where cosine ends, and below which plateau never goes.")
    plateau_patience: int = Field(
        default=1, ge=1, description="Evaluations without improvement after which the rate falls."
    )
    plateau_factor: float = Field(default=0.5, gt=0, lt=1, description="What the rate is then multiplied by.")

    # ---- gradients and regularisation
    clip_norm: float | None = Field(
        default=1.0, gt=0, description="Longest gradient, as one L2 norm; None: as it comes."
    )
    clip_value: float | None = Field(
        default=None, gt=0, description="Largest gradient element, cut before the norm is taken."
    )
    ema: float = Field(
        default=0.0, ge=0, lt=1, description="Decay per step of averaged weights, which are judged; 0: none."
    )
    ar: float = Field(default=0.0, ge=0, description="Activation regularisation: weight of the mean of h².")
    tar: float = Field(default=0.0, ge=0, description="Temporal AR: weight of the mean of (h_t - h_{t-1})².")

    # ---- cadence
    eval_every_steps: int | None = Field(
        default=None,
        ge=1,
        description="Updates between evaluations; None: 20 in all, fewer if they cost over 5 % of the time.",
    )
    eval_tokens: int = Field(default=32768, ge=1, description="Held-out tokens in a training-time evaluation, at most.")
    patience: int | None = Field(
        default=None, ge=1, description="Evaluations without improvement that end the run; None: off."
    )
    checkpoint_every_s: float = Field(
        default=60.0, ge=0, description="Seconds between checkpoints; 0: after every step."
    )
    threads: int | None = Field(default=None, ge=1, description="Threads; None: the cores this process may use.")

    @property
    def most_in_batch(self) -> int:
        """What bounds a batch: rows; tokens in the configuration of a task whose batches hold as many rows as fit."""
        return self.batch_size

    @property
    def num_restarts(self) -> int:
        """How often training may begin anew; above 0 only in the configuration of a task that has an `error`."""
        return 0

    @model_validator(mode="before")
    @classmethod
    def _default_budget(cls, values: Any) -> Any:
        if isinstance(values, dict) and not any(values.get(k) for k in ("time_limit_s", "max_steps", "epochs")):
            return {**values, "time_limit_s": DEFAULT_TIME_LIMIT_S}
        return values

    @model_validator(mode="after")
    def _fits_together(self) -> TrainConfig:
        if self.stride is not None and self.stride > self.window:
            raise ValueError(
                f"stride {self.stride} is longer than window {self.window}: steps between would never be learned from; "
                f"use a stride of at most {self.window}"
            )
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas are {list(self.betas)}, both must be in [0, 1)")
        if self.min_lr > self.lr:
            raise ValueError(f"min_lr {self.min_lr:g} is above lr {self.lr:g}")
        if self.ema and self.optimizer == "asgd":
            raise ValueError("ema and optimizer asgd both average the weights: choose one, or set ema to 0")
        for name, (key, owners) in _OWNERS.items():
            given = getattr(self, key)
            if given not in owners and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} has no effect with {key} {given}: leave it out, or use {' or '.join(owners)}")
        return self
