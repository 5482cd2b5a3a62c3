"""Teachers: a run of ours, or any causal language model that `transformers` opens, GGUF included."""

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from distlaw.runs import RECORD, one_line, written_whole
from distlaw.train.config import RunConfig
from distlaw.train.model import non_embedding_params
from distlaw.train.tokenizer import load_tokenizer, tokenizer_hash

EXPORT = "export"
_WEIGHTS = ("*.safetensors", "*.gguf")


@dataclass(frozen=True, kw_only=True, eq=False)
class Teacher:
    """A frozen model in evaluation mode, and what a record says of it.

    Attributes:
        model: A `transformers` causal language model.
        tokenizer: Its tokenizer; None where the folder holds none that can be compared.
        params: N_T, without embeddings.
        tokens: D_T; None when unknown.
        hash: SHA-256 of its weight files, see `weights_hash`.
        path: Where it was opened.
    """

    model: Any
    tokenizer: Tokenizer | None
    params: int
    tokens: float | None
    hash: str
    path: Path

    @property
    def head(self) -> torch.Tensor:
        """Weights of the output layer, shape (V_T, d_T)."""
        return self.model.get_output_embeddings().weight

    @property
    def vocabulary(self) -> int:
        """Rows of the output layer, padding included."""
        return self.head.shape[0]


def open_teacher(path: Path) -> Teacher:
    """Open a teacher, offline; weights are read from safetensors or GGUF, never from pickles.

    Args:
        path: A run directory of ours, a model folder, or a GGUF file.

    Raises:
        ValueError: There is no model that can be opened; says what was looked for. Or the weights are not those that
            the run's record tells of.
    """
    record = _record(path)
    folder = path / EXPORT if (path / EXPORT).is_dir() else path
    folder, gguf = (folder.parent, folder.name) if folder.suffix == ".gguf" else (folder, None)
    if not folder.is_dir():
        raise ValueError(
            f"teacher '{one_line(path)}' is not there: name a run directory, a model folder or a .gguf file"
        )
    files = [folder / gguf] if gguf else _weights(folder)
    if not files or not files[0].is_file():
        raise ValueError(f"teacher '{one_line(path)}' has no weights: neither {' nor '.join(_WEIGHTS)} is in it")
    held = _hash(files)
    if (recorded := record.get("weights_hash", held)) != held:
        raise ValueError(
            f"the weights in '{one_line(folder)}' are not what the run's {RECORD} tells of (SHA-256 {held[:12]},"
            f" recorded {one_line(str(recorded)[:12])}): bring them back, or train again"
        )
    if gguf is None and all(file.suffix == ".gguf" for file in files):
        gguf = files[0].name
    try:
        model = _load(folder, gguf)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ValueError(f"teacher '{one_line(path)}' cannot be opened ({one_line(error)})") from None
    model.eval().requires_grad_(False)
    try:
        tokenizer = load_tokenizer(folder)
    except ValueError:
        tokenizer = _tokenizer_of(folder, gguf)
    if model.get_output_embeddings() is None or model.get_output_embeddings().bias is not None:
        raise ValueError(
            f"teacher '{one_line(path)}' has no output layer without a bias: it is no teacher for this loss"
        )
    return Teacher(
        model=model,
        tokenizer=tokenizer,
        params=int(record.get("student_params") or _params(model)),
        tokens=record.get("student_tokens"),
        hash=held,
        path=path,
    )


def weights_hash(folder: Path) -> str:
    """SHA-256 of the SHA-256s of a folder's weight files, in the order of their names: `Teacher.hash`."""
    return _hash(_weights(folder))


def require_same_tokenizer(teacher: Teacher, tokenizer: Tokenizer) -> None:
    """Check that a teacher speaks of the same tokens; its vocabulary may be padded differently.

    Raises:
        ValueError: It does not, or its tokenizer is not known.
    """
    if teacher.tokenizer is None:
        raise ValueError(f"teacher '{one_line(teacher.path)}' has no tokenizer.json to compare with the data's")
    if tokenizer_hash(teacher.tokenizer) != tokenizer_hash(tokenizer):
        theirs, ours = teacher.tokenizer.get_vocab_size(), tokenizer.get_vocab_size()
        raise ValueError(
            f"teacher '{one_line(teacher.path)}' has another tokenizer ({theirs} tokens) than the data ({ours}):"
            " set data.tokenizer to the teacher's folder"
        )


def with_teachers_tokenizer(config: RunConfig, teacher: Teacher | None, cache: Path) -> RunConfig:
    """A student reads with its teacher's tokenizer unless it is told another; one inside GGUF is kept in the cache."""
    if teacher is None or teacher.tokenizer is None or config.data.tokenizer or config.data.source == "synthetic":
        return config
    folder = teacher.path / EXPORT if (teacher.path / EXPORT).is_dir() else teacher.path
    if not (folder / "tokenizer.json").is_file():
        folder = cache / "tokenizers" / tokenizer_hash(teacher.tokenizer)
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
        with written_whole(folder / "tokenizer.json", "tokenizer") as temporary:
            temporary.write_text(teacher.tokenizer.to_str(), encoding="utf-8")
    return replace(config, data=replace(config.data, tokenizer=str(folder)))


def _load(folder: Path, gguf: str | None) -> Any:  # noqa: ANN401
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()  # of files that are read in no time
    source: dict[str, Any] = {"gguf_file": gguf} if gguf else {"use_safetensors": True}
    return AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, dtype=torch.float32, **source)


def _tokenizer_of(folder: Path, gguf: str | None) -> Tokenizer | None:
    from transformers import AutoTokenizer

    source = {"gguf_file": gguf} if gguf else {}
    try:
        found = AutoTokenizer.from_pretrained(folder, local_files_only=True, **source)
    except (OSError, ValueError, KeyError):
        return None
    return getattr(found, "backend_tokenizer", None)


def _record(path: Path) -> dict[str, Any]:
    try:
        found = json.loads((path / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _params(model: Any) -> int:  # noqa: ANN401
    try:
        return non_embedding_params(model)
    except IndexError:
        pass
    outside = {
        id(p) for module in (model.get_input_embeddings(), model.get_output_embeddings()) for p in module.parameters()
    }
    return sum(p.numel() for p in model.parameters() if id(p) not in outside)


def _weights(folder: Path) -> list[Path]:
    return sorted(file for pattern in _WEIGHTS for file in folder.glob(pattern))


def _hash(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()
