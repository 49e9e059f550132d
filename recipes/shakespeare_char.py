"""Characters of Shakespeare in 90 seconds and in ten minutes on two cores.

Reproduces: nats per character on tinyshakespeare, first 90 % for training, the rest for validation.
Expected:   LSTM after 90 s at most 1.54 (nanoGPT's CPU recipe 1.886 in the same time, a plain torch LSTM 1.540);
            after ten minutes at most 1.48 (nanoGPT's GPU recipe 1.4697). Both in fp32.
Beside it:  Elman network and GRU after 90 s; n-grams and the window MLP in the table.
Takes:      ten minutes for the main model, about 18 in all.
"""

from _recipe import Recipe

SHARED = {"kind": "char", "held_out": 0.1}
COUNTED = {"kinds": ["unigram", "kneser-ney"]}
SHORT = {"time_limit_s": 90, "hidden_size": 384}  # 512 units see too little text in 90 seconds

recipe = Recipe(__doc__)
text = [recipe.data("lm_char/tinyshakespeare.txt")]

recipe.train("elman-90s", text, cell="elman_tanh", lr=1e-3, **SHORT, **SHARED, **COUNTED)
recipe.train("gru-90s", text, cell="gru_after", lr=6e-3, **SHORT, **SHARED, **COUNTED)
short = recipe.train("lstm-90s", text, cell="lstm", lr=6e-3, **SHORT, **SHARED)
long = recipe.train(
    "lstm-10min", text, time_limit_s=600, cell="lstm", hidden_size=768, output_dropout=0.3, **SHARED, **COUNTED
)

recipe.claim("LSTM after 90 s, nats per character", short["model"]["nats_per_character"], at_most=1.54)
recipe.claim("LSTM after 10 min, nats per character", long["model"]["nats_per_character"], at_most=1.48)
recipe.finish(main=long)
