"""`rnnkit train frames`: from recordings with labels or numbers for every frame to a trained model and its table."""

from __future__ import annotations

from rnnkit.cli.train_classify import SEEDS
from rnnkit.cli.train_options import (
    DROPOUT,
    HELD_OUT,
    LAYERS,
    PRECISION,
    TRAINING,
    Given,
    baselines,
    listed,
    only,
    option,
    run_of,
    taking,
    train_and_show,
    without,
)

_SOURCES = (
    "Tables (.csv, .tsv), each a recording with a row for every frame, or .npz; or videos, or a folder of them, each "
    "with a table of its frames' labels beside it."
)


@taking(
    **run_of("frames", _SOURCES),
    **HELD_OUT,
    targets=option(str, help="What a frame has: label, labels or numbers; default: told by the files."),
    label_column=option(str, help="The label's column; all others are numbers."),
    target_columns=option(
        str, parser=listed(str, "a,b", is_alone=False), metavar="A,B", help="Those of several labels, or of numbers."
    ),
    feature_columns=option(
        str,
        parser=listed(str, "a,b", is_alone=False),
        metavar="A,B",
        help="The numbers of a frame; default: all others.",
    ),
    next_frame=option(bool, "--next/--no-next", help="Say every frame from those before it."),
    encoding=option(str, help="Of all tables."),
    window_frames=option(int, "--window", help="Cut recordings into windows of so many frames."),
    frame_size=option(str, metavar="HxW", help="Of videos: the size that frames are averaged down to."),
    grey=option(bool, "--grey/--colour", help="Of videos: brightness alone; or their colours."),
    cnn_channels=option(
        str, metavar="N,N", parser=listed(int, "16,32,32", is_alone=False), help="Of videos: their layers' channels."
    ),
    cnn_kernel=option(int, help="Of videos: rows and columns of the windows."),
    **without(LAYERS, "embedding_size"),
    bidirectional=option(bool, "--bidirectional/--forward", help="Read in both directions; or forward alone: streams."),
    crf=option(bool, "--crf/--no-crf", help="Score whole sequences of labels."),
    **without(DROPOUT, "embedding_dropout", "word_dropout"),
    label_smoothing=option(float, help="Share of the target spread over all labels."),
    **PRECISION,
    **TRAINING,
    **only(baselines("majority or mean, frame-mlp, window-mlp, last-value; of videos majority, frame-cnn"), "kinds"),
    context=option(int, help="Frames that window-mlp reads beside each."),
    **SEEDS,
)
def frames(given: Given) -> None:
    """Train a recurrent network that gives every frame a label, several or numbers, and judge it beside its baselines.

    Every key of the configuration can be given as KEY=VALUE; the usual ones are also flags.
    """
    from rnnkit import api

    train_and_show(given, api.FrameTagger, api.tagging_table)
