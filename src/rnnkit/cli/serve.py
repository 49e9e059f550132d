"""`rnnkit serve`: trained models over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rnnkit.errors import DataError, MissingExtraError, UsageError


def serve(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, called by their last names.", metavar="RUN…")],
    host: Annotated[str, typer.Option(help="Where to listen; if others reach it, --keys are wanted.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: one that is free.")] = 8000,
    keys: Annotated[Path | None, typer.Option(help="A file of API keys, one a line, of 16 characters or more.")] = None,
    allowed_host: Annotated[
        list[str] | None, typer.Option(help="A name in the Host header that is answered; else any, or loopback's.")
    ] = None,
    secret: Annotated[
        Path | None, typer.Option(help="A file of 16 bytes or more, the same for replicas that share signed states.")
    ] = None,
    redis: Annotated[
        str | None, typer.Option(help="Keep sessions there, as redis://127.0.0.1:6379; else in the worker's memory.")
    ] = None,
    limit: Annotated[list[str] | None, typer.Option(help="NAME=VALUE; the guide has the list.")] = None,
    precision: Annotated[
        str | None, typer.Option(help="Of products: fp32, fp32_split, bf16, int8 or auto; else as it was trained.")
    ] = None,
) -> None:
    """Serve the models of RUN… until Ctrl-C or SIGTERM: a page at /, the API at /v1, described by /openapi.json."""
    import importlib.util
    import secrets

    from rnnkit.serving.limits import Limits
    from rnnkit.serving.settings import Settings, names
    from rnnkit.serving.supervisor import Supervisor

    for module in ("fastapi", "uvicorn", "websockets"):
        if importlib.util.find_spec(module) is None:
            raise MissingExtraError(f"rnnkit serve needs {module}", extra="serve")
    if redis is not None and importlib.util.find_spec("redis") is None:
        raise MissingExtraError("--redis needs the package redis", extra="redis")
    settings = Settings(
        runs=names(list(map(str, runs))),
        host=host,
        port=port,
        keys=_keys(keys),
        hosts=tuple(allowed_host or ()),
        secret=_secret(secret) if secret else secrets.token_hex(32),
        redis=redis,
        precision=precision,
        limits=Limits.parse(limit or ()),
    )
    raise SystemExit(Supervisor(settings).run())


def _keys(file: Path | None) -> tuple[str, ...]:
    if file is None:
        return ()
    found = tuple(line.strip() for line in file.read_text("utf-8").splitlines() if line.strip())
    for number, key in enumerate(found, start=1):
        if len(key) < 16 or not key.isascii() or not key.isprintable() or " " in key:
            raise DataError(
                f"{file}: key {number} is not 16 printable ASCII characters or more; `openssl rand -hex 16`"
            )
    if not found:
        raise UsageError(f"{file} holds no key; put one on a line")
    return found


def _secret(file: Path) -> str:
    data = file.read_bytes()
    if len(data) < 16:
        raise DataError(f"{file} holds {len(data)} bytes, a secret has 16 or more; `openssl rand -out {file} 32`")
    return data.hex()
