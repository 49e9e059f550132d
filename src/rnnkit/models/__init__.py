"""Model shapes: what a task trains, built from `rnnkit.nn`."""
