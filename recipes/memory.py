"""Copy, adding and delayed recall: how far back an Elman network, a GRU and an LSTM remember.

One layer of 64 units each, 3,000 updates at distances drawn from the task's shortest to 100 steps, then 1,000 fresh
sequences of each of ten distances; the last, 200, is beyond training. Everything is drawn by a seed. The claims about
what the gated cells can do were set after looking at seed 0 on an earlier version of the same task.

Reproduces: copy and adding of Hochreiter and Schmidhuber 1997; the latch of Bengio, Simard and Frasconi 1994.
Expected:   GRU and LSTM copy and add over 100 steps, where an Elman network adds over one step and copies nothing; one
            symbol is held by all three. A window of eight steps is at chance as soon as it does not reach.
Takes:      two minutes.
"""

from _recipe import Recipe

from rnnkit.api.explanation_pictures import draw_memory

recipe = Recipe(__doc__)
found = recipe.remember()
longest = found["config"]["longest"]
for task, of_task in found["tasks"].items():
    at, beyond = of_task["distances"].index(longest), of_task["distances"].index(2 * longest)
    rows = {
        row["name"]: row | {"accuracy": row["accuracy"][at], "accuracy_beyond": row["accuracy"][beyond]}
        for row in of_task["rows"]
    }
    baselines = [row for name, row in rows.items() if name not in found["config"]["cells"]]
    for cell in found["config"]["cells"]:
        recipe.table(f"{task}, {cell}", model=rows[cell], baselines=baselines)
    for cell in ("gru_after", "lstm"):
        recipe.claim(f"{task}, {cell}: share right at {longest} steps", rows[cell]["accuracy"], at_least=0.9)
    elman = rows["elman_tanh"]["accuracy"]
    if task == "recall":
        recipe.claim(f"{task}, elman_tanh: share right at {longest} steps", elman, at_least=0.9)
    else:
        recipe.claim(f"{task}, elman_tanh: share right at {longest} steps", elman, at_most=0.5)
    for row in baselines:
        recipe.claim(f"{task}, {row['name']}: share right at {longest} steps", row["accuracy"], at_most=0.25)
recipe.finish(main=found, picture=draw_memory(found["tasks"], longest=longest))
