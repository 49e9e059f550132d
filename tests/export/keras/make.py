"""How the files beside it were made, by Keras 3.15 on torch: random weights, and what Keras computes from them."""

from pathlib import Path

import keras
import numpy as np
from keras import layers

V = 29
FOLDER = Path(__file__).parent


def randomised(model):
    """Weights with biases that are not zero."""
    rng = np.random.default_rng(5)
    model.set_weights([rng.normal(size=weight.shape, scale=0.4).astype(np.float32) for weight in model.get_weights()])
    return model


def functional():
    """The same chain as a functional model."""
    ids = keras.Input((None,), dtype="int32")
    x = layers.Embedding(V, 4)(ids)
    x = layers.Dropout(0.5)(x)
    x = layers.LSTM(6, return_sequences=True)(x)
    x = layers.LSTM(5, return_sequences=True, dropout=0.3)(x)
    return keras.Model(ids, layers.Dense(V, activation="softmax")(x))


MODELS = {
    "lstm.keras": functional(),
    "lstm.h5": functional(),
    "gru_after.keras": keras.Sequential(
        [keras.Input((None, V)), *(layers.GRU(6, return_sequences=True) for _ in range(2)), layers.Dense(V),
         layers.Activation("softmax")]
    ),
    "gru_before.h5": keras.Sequential(
        [keras.Input((None,)), layers.Embedding(V, 4), layers.GRU(6, return_sequences=True, reset_after=False),
         layers.TimeDistributed(layers.Dense(V, use_bias=False))]
    ),
    "gru_before.keras": keras.Sequential(
        [keras.Input((None,)), layers.Embedding(V, 4), layers.GRU(6, return_sequences=True, reset_after=False),
         layers.TimeDistributed(layers.Dense(V, use_bias=False))]
    ),
    "elman_relu.keras": keras.Sequential(
        [keras.Input((None,)), layers.Embedding(V, 4),
         layers.SimpleRNN(6, return_sequences=True, activation="relu", use_bias=False), layers.Dense(V)]
    ),
    "elman_tanh.h5": keras.Sequential(
        [keras.Input((None,)), layers.Embedding(V, 4), layers.SimpleRNN(6, return_sequences=True), layers.Dense(V)]
    ),
}  # fmt: skip

ids = np.random.default_rng(1).integers(0, V, (3, 9))
arrays = {"ids": ids.T}
for name, model in MODELS.items():
    randomised(model).save(FOLDER / name)
    x = np.eye(V, dtype=np.float32)[ids] if model.input_shape[-1] == V else ids
    out = np.asarray(model.predict(x, verbose=0), np.float64)
    if not np.allclose(out.sum(-1), 1, atol=1e-4) or (out < 0).any():
        out = np.exp(out) / np.exp(out).sum(-1, keepdims=True)
    arrays[name] = np.log(out).transpose(1, 0, 2).astype(np.float32)  # [T, B, V]
np.savez(FOLDER / "outputs.npz", **arrays)
