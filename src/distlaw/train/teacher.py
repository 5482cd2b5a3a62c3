"""Teachers: a run of ours, a folder that `transformers` opens, or a GGUF file; exact, or refused with one line."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from logging import CRITICAL
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from distlaw.runs import RECORD, one_line, read_record, written_whole
from distlaw.train.config import RunConfig
from distlaw.train.head import AfterHead, Head, find_after_head
from distlaw.train.model import non_embedding_params
from distlaw.train.model_folder import hashes, require_readable, weight_files
from distlaw.train.tokenizer import load_tokenizer, tokenizer_hash

EXPORT = "export"
_MOST_LARGER = 2  # times the numbers in the weight files that a config may ask for; tied weights are stored once


@dataclass(frozen=True, kw_only=True, eq=False)
class Teacher:
    """A frozen model in evaluation mode, and what a record says of it.

    Attributes:
        model: A `transformers` causal language model.
        after_head: What it does after its output layer.
        tokenizer: Its tokenizer; None where the folder holds none that can be compared.
        params: N_T, without embeddings.
        tokens: D_T; None when unknown.
        hash: SHA-256 of all its files, `model_hash` of `distlaw.train.model_folder.hashes`.
        path: Where it was opened.
    """

    model: Any
    after_head: AfterHead
    tokenizer: Tokenizer | None
    params: int
    tokens: float | None
    hash: str
    path: Path

    @property
    def head(self) -> Head:
        """Its output layer, and what follows it."""
        return Head.of(self.model, self.after_head)

    @property
    def vocabulary(self) -> int:
        """Tokens that it gives logits of, padding included."""
        return self.after_head.tokens


def open_teacher(path: Path) -> Teacher:
    """Open a teacher, offline; weights are read from safetensors or GGUF, never from pickles, and no code is run.

    Its distribution as it is computed here is compared with the model's own on a few tokens.

    Args:
        path: A run directory of ours, a model folder, or a GGUF file.

    Raises:
        ValueError: There is no model that can be opened; says what was looked for. Or tensors are missing, too many or
            of another shape, the files are not those that the run's record tells of, or the distribution computed here
            is not the model's own.
    """
    shown = f"teacher '{one_line(path)}'"
    record = _record(path)
    folder = path / EXPORT if (path / EXPORT).is_dir() else path
    folder, gguf = (folder.parent, folder.name) if folder.suffix == ".gguf" else (folder, None)
    if not folder.is_dir():
        raise ValueError(f"{shown} is not there: name a run directory, a model folder or a .gguf file")
    files = [folder / gguf] if gguf else weight_files(folder)
    try:
        if gguf is None and files and all(file.suffix == ".gguf" for file in files):
            gguf = files[0].name
        held = hashes(folder, gguf) if record else {}
        _require_recorded(held, folder, record)  # first: what is damaged is not what was recorded
        numbers = None if gguf or not (files or (folder / "config.json").exists()) else require_readable(folder)
        if not files or not files[0].is_file():
            raise ValueError("it has no weights: neither *.safetensors nor *.gguf is in it")
        model = _load(folder, gguf, numbers)
        model.eval().requires_grad_(False)
        return Teacher(
            model=model,
            after_head=_after_head(model),
            tokenizer=_tokenizer(folder, gguf),
            params=int(record.get("student_params") or _params(model)),
            tokens=record.get("student_tokens"),
            hash=(held or hashes(folder, gguf))["model_hash"],
            path=path,
        )
    except (ValueError, OSError) as error:
        raise ValueError(f"{shown} is refused: {one_line(error, 1000)}") from None


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


def _record(path: Path) -> dict[str, Any]:
    """The record of a run directory; empty for a model that is no run of ours.

    Raises:
        ValueError: It cannot be read: then nobody knows whether the model is the one that was trained.
    """
    file = (path.parent if path.name == EXPORT else path) / RECORD
    if not file.exists():
        if (path / EXPORT).is_dir():
            raise ValueError(f"'{one_line(path)}' is a run that has not ended: there is no {RECORD} in it")
        return {}
    record = read_record(file)
    if names := record.get("students"):
        raise ValueError(
            f"teacher '{one_line(path)}' is a run of several students: name one of them, as in"
            f" students/{one_line(names[0], 60)}"
        )
    return record


def _require_recorded(held: Mapping[str, str], folder: Path, record: Mapping[str, Any]) -> None:
    for name, what in (("weights_hash", "the weights"), ("model_hash", "the config or the tokenizer")):
        if (recorded := record.get(name, held.get(name))) != held.get(name):
            raise ValueError(
                f"{what} in '{one_line(folder)}' are not what the run's {RECORD} tells of (SHA-256 {held[name][:12]},"
                f" recorded {one_line(str(recorded)[:12])}): bring them back, or train again"
            )


def _load(folder: Path, gguf: str | None, numbers: int | None) -> Any:  # noqa: ANN401
    """The model, with every tensor that it has taken from the files and every tensor in the files in its place.

    Args:
        folder: Its folder.
        gguf: Its GGUF file, if it is one.
        numbers: How many numbers its weight files hold; None for GGUF.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    source: dict[str, Any] = {"gguf_file": gguf} if gguf else {"use_safetensors": True}
    offline: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        with _quiet():
            if numbers is not None:
                with torch.device("meta"):
                    shape = AutoModelForCausalLM.from_config(
                        AutoConfig.from_pretrained(folder, **offline), trust_remote_code=False
                    )
                asked = sum(p.numel() for p in shape.parameters())
                if asked > _MOST_LARGER * numbers:
                    raise ValueError(f"config.json is of {asked} parameters, and the weight files hold {numbers}")
            opened: Any = AutoModelForCausalLM.from_pretrained(
                folder, dtype=torch.float32, output_loading_info=True, **offline, **source
            )
    except Exception as error:  # whatever transformers meets in somebody's files
        raise ValueError(f"it cannot be opened ({one_line(str(error) or type(error).__name__)})") from None
    model, found = opened
    for kind, what in (("missing_keys", "lacks"), ("unexpected_keys", "has, and the model does not,")):
        if names := sorted(str(name) for name in found.get(kind) or ()):
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise ValueError(
                f"it {what} the tensor '{one_line(names[0], 100)}'{more}: the weights are not this model's"
            )
    return model


def _after_head(model: Any) -> AfterHead:  # noqa: ANN401
    try:
        return find_after_head(model)
    except ValueError:
        raise
    except Exception as error:  # of a forward pass that a config of somebody's makes impossible
        raise ValueError(f"it cannot be run ({type(error).__name__}: {one_line(error)})") from None


@contextmanager
def _quiet() -> Iterator[None]:
    """What `transformers` would say on many lines while it opens a model becomes one line of ours."""
    from transformers.utils import logging

    logging.disable_progress_bar()  # of files that are read in no time
    before = logging.get_verbosity()
    logging.set_verbosity(CRITICAL)
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _tokenizer(folder: Path, gguf: str | None) -> Tokenizer | None:
    """The tokenizer.json of a folder, or what `transformers` makes of other files; None where there is neither."""
    if (folder / "tokenizer.json").exists():
        return load_tokenizer(folder)
    from transformers import AutoTokenizer

    source = {"gguf_file": gguf} if gguf else {}
    try:
        with _quiet():
            found = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False, **source)
    except Exception:  # files of any other kind; who needs the tokenizer says that there is none
        return None
    return getattr(found, "backend_tokenizer", None)


def _params(model: Any) -> int:  # noqa: ANN401
    try:
        return non_embedding_params(model)
    except IndexError:
        pass
    outside = {
        id(p) for module in (model.get_input_embeddings(), model.get_output_embeddings()) for p in module.parameters()
    }
    return sum(p.numel() for p in model.parameters() if id(p) not in outside)
