"""Tasks: for each, its data, model, loss, metric and the baselines it must beat."""
