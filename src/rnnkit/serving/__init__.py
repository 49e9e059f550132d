"""Serve trained models over HTTP: sessions, that is states with an owner, and predictions in batches. `rnnkit serve` is
the way in; docs/how-to/serve.md says what it answers, SECURITY.md what it promises."""
