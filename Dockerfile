# The run half: serves the run folder that is mounted at /run.
#
#   docker build -t rnnkit .
#   docker run --rm -p 127.0.0.1:8000:8000 -v "$PWD/runs/shakespeare:/run/shakespeare:ro" -v "$PWD/keys:/keys:ro" rnnkit

FROM python:3.11-slim-bookworm AS build
RUN apt-get update && apt-get install --yes --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY . .
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --constraint constraints.txt '.[serve,redis]'

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 rnnkit
COPY --from=build /venv /venv
USER 10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK CMD ["/venv/bin/python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=2)"]
ENTRYPOINT ["/bin/sh", "-c", "exec /venv/bin/rnnkit serve /run/* --host 0.0.0.0 --keys /keys \"$@\"", "serve"]
