"""A model's folder: which files it is, whether they can be read at all, and the hash that tells it from any other."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from distlaw.runs import one_line

_WEIGHTS = ("*.safetensors", "*.gguf")
# What decides which tokens a model reads and what it says of them: shape and settings, tokenizer, templates.
_BESIDES = ("*.json", "*.jinja", "*.model", "*.tiktoken", "*.txt")
_INDEX, _WHOLE = "model.safetensors.index.json", "model.safetensors"
_FLOATS = ("F64", "F32", "F16", "BF16")
_LAYERS = ("num_hidden_layers", "num_layers", "n_layers", "n_layer")


def weight_files(folder: Path) -> list[Path]:
    """Weight files in the order of their names."""
    return sorted(file for pattern in _WEIGHTS for file in folder.glob(pattern))


def hashes(folder: Path, gguf: str | None = None) -> dict[str, str]:
    """What tells a model from any other, by the names that a record has for them.

    Args:
        folder: Where it lies.
        gguf: Name of a GGUF file that is opened, and not the folder: then it and a tokenizer.json beside it.

    Returns:
        `weights_hash`, SHA-256 of the SHA-256s of the weight files in the order of their names; `model_hash`, the
        same over names and contents of all files that decide what the model says: weights, config.json, generation
        settings, tokenizer.
    """
    weights = [folder / gguf] if gguf else weight_files(folder)
    besides = [folder / "tokenizer.json"] if gguf else [file for kind in _BESIDES for file in folder.glob(kind)]
    of_weights, of_all = hashlib.sha256(), hashlib.sha256()
    for file in sorted({*weights, *(file for file in besides if file.is_file())}):
        with file.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").digest()
        of_all.update(f"{file.name}\0".encode(errors="surrogateescape") + content)
        if file in weights:
            of_weights.update(content)
    return {"weights_hash": of_weights.hexdigest(), "model_hash": of_all.hexdigest()}


def require_readable(folder: Path) -> int:
    """Check a folder of safetensors before anything is made of it, so that a fault is one line that names the file.

    Returns:
        How many numbers its weights hold.

    Raises:
        ValueError: config.json is not there or no JSON object; the model is quantised, or an adapter; a weight file is
            damaged or not there.
    """
    config = _json_object(folder / "config.json")
    if (folder / "adapter_config.json").exists():
        raise ValueError("adapter_config.json is in it: merge the adapter into its model first")
    quantised = _quantisation(config)
    if quantised is None and (folder / "quantize_config.json").exists():
        quantised = "quantize_config.json is in it"
    if quantised is not None:
        raise ValueError(
            f"it is quantised ({one_line(quantised, 60)}): give the original weights, float32 or 16-bit safetensors,"
            " or GGUF"
        )
    files = _loaded(folder)
    tensors = numbers = 0
    for file in files:
        for name, dtype, size in _tensors(file):
            if name.endswith("weight") and dtype not in _FLOATS:
                raise ValueError(
                    f"'{one_line(name)}' in {file.name} is {dtype}: it is quantised; give float32 or 16-bit weights"
                )
            tensors, numbers = tensors + 1, numbers + size
    for part in (config, *(value for value in config.values() if isinstance(value, dict))):
        for key in _LAYERS:
            layers = part.get(key)
            if layers is not None and files and not (type(layers) is int and 0 <= layers <= tensors):
                raise ValueError(
                    f"'{key}' in config.json is {one_line(layers, 40)}, and its weights are {tensors} tensors"
                )
    return numbers


def _loaded(folder: Path) -> list[Path]:
    """The safetensors files that `transformers` reads."""
    if (folder / _WHOLE).is_file() or not (folder / _INDEX).exists():
        files = [folder / _WHOLE] if (folder / _WHOLE).is_file() else sorted(folder.glob("*.safetensors"))
        if len(files) > 1:
            raise ValueError(f"it has several weight files and no {_INDEX} that says what is in which")
        return files
    names = _json_object(folder / _INDEX).get("weight_map")
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise ValueError(f"{_INDEX} has no 'weight_map' of tensors to files")
    files = [folder / name for name in sorted(set(names.values()))]
    for file in files:
        if file.parent != folder or not file.is_file():
            raise ValueError(f"{_INDEX} names '{one_line(file.name)}', which is not in the folder")
    return files


def _tensors(file: Path) -> Iterator[tuple[str, str, int]]:
    """Name, type and size of every tensor, from the header of a file whose length agrees with it."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="np") as opened:
            for name in opened.keys():  # noqa: SIM118, not a mapping
                part = opened.get_slice(name)
                size = 1
                for length in part.get_shape():
                    size *= length
                yield name, part.get_dtype(), size
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{file.name} cannot be read as safetensors ({one_line(error)})") from None


def _quantisation(config: Mapping[str, Any]) -> str | None:
    """How a config says that its weights are quantised; None where it does not."""
    for part in (config, *(value for value in config.values() if isinstance(value, dict))):
        for key in ("quantization_config", "compression_config", "quantization"):
            if part.get(key):
                found = part[key]
                method = found.get("quant_method") if isinstance(found, dict) else None
                return f"'{key}' in config.json" + (f": {method}" if method else "")
    return None


def _json_object(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{file.name} cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file.name} is not JSON ({one_line(error)})") from None
    if not isinstance(found, dict):
        raise ValueError(f"{file.name} must hold a JSON object, not {type(found).__name__}")
    return found
