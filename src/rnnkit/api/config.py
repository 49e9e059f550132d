"""One configuration out of a YAML file, options and dotted overrides, with the nearest known name for a wrong one.

Later wins: file, then options (`hidden_size=256`), then overrides (`"model.hidden_size=256"`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from rnnkit import durable
from rnnkit.errors import ConfigError, nearest

ModelT = TypeVar("ModelT", bound=BaseModel)


def build(
    model: type[ModelT],
    *,
    file: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
    overrides: Sequence[str] = (),
) -> ModelT:
    """A validated `model` from its sources.

    Args:    file: YAML with the keys of `model`.  options: leaf names (`lr`) or dotted keys (`training.lr`) to values.
             overrides: `key=value` with a dotted key; the value is read as YAML.
    Raises:  ConfigError naming the key, what came, what is wanted, and the nearest key for an unknown one.
    """
    keys = known_keys(model)
    values = read_yaml(file) if file is not None else {}
    for name, value in (options or {}).items():
        _set(values, find_key(name, keys), value)
    for override in overrides:
        name, separator, text = override.partition("=")
        if not separator:
            raise ConfigError(f"override {override!r} has no '='; write it as key=value, for example training.lr=2e-3")
        _set(values, find_key(name, keys), _parse(name, text))
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ConfigError(_first_problem(error, keys, file)) from None


def known_keys(model: type[BaseModel], prefix: str = "") -> list[str]:
    """Every dotted key that `model` takes, sections left out."""
    keys: list[str] = []
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            keys += known_keys(kind, f"{prefix}{name}.")
        else:
            keys.append(prefix + name)
    return keys


def find_key(name: str, keys: Iterable[str]) -> str:
    """The dotted key that `name` means: itself, or the one key that ends in `.name`."""
    keys = list(keys)
    if name in keys:
        return name
    matches = [key for key in keys if key.rpartition(".")[2] == name]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise ConfigError(f"option {name!r} is ambiguous: write {' or '.join(matches)}")
    raise ConfigError(f"unknown key {name!r}{_nearest(name, keys)}")


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file. Raises: ConfigError naming file, line and remedy."""
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the configuration {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is no YAML: {' '.join(str(error).split())}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds a {type(values).__name__}; a configuration is a mapping such as 'model: …'")
    return values


def write_yaml(path: Path, model: BaseModel) -> None:
    """Keep a configuration so that `build` reads it back, the defaults of today included. Raises: SaveError."""
    durable.write_file(path, yaml.safe_dump(model.model_dump(mode="json"), sort_keys=False).encode())


def _parse(name: str, text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(f"override {name}={text!r} is no YAML value; put quotes around text") from None


def _set(values: dict[str, Any], key: str, value: Any) -> None:
    *sections, leaf = key.split(".")
    for section in sections:
        inner = values.setdefault(section, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"{section!r} holds {inner!r}; it is a section with keys of its own")
        values = inner
    values[leaf] = value


def _nearest(name: str, keys: Iterable[str]) -> str:
    by_leaf = {key.rpartition(".")[2]: key for key in keys}
    names = {**by_leaf, **{key: key for key in by_leaf.values()}}
    close = nearest(name, names, cutoff=0.4) or nearest(name.rpartition(".")[2], names, cutoff=0.4)
    return f"; the nearest known is {names[close]}" if close else f"; known are {', '.join(sorted(names.values()))}"


def _first_problem(error: ValidationError, keys: list[str], file: str | Path | None) -> str:
    problem = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in problem["loc"])
    where = f" (in {file})" if file is not None else ""
    if problem["type"] == "extra_forbidden":
        return f"unknown key {key!r}{_nearest(key, keys)}{where}"
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "value_error":  # our own validators name key, value and remedy themselves
        return message + where
    return f"{key} is {problem['input']!r}: {message[0].lower()}{message[1:]}{where}"
