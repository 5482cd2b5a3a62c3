"""Sound inputs that the mutations start from."""

import csv
import io
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

RUN_CONFIG: dict[str, Any] = {
    "seed": 1,
    "data": {"source": "synthetic", "vocab_size": 64, "context": 16, "synthetic_tokens": 200_000},
    "model": {"layers": 2, "aspect_ratio": 16, "head_size": 16},
    "training": {"tokens": 8192, "batch_tokens": 256, "rate": 0.02, "precision": "fp32"},
}
DISTILL_CONFIG: dict[str, Any] = {
    **RUN_CONFIG,
    "loss": {"mixing": [[0.0, 0.5], [1.0, 1.0]], "temperature": 2.0, "targets": "top-k", "top_k": 4},
    "teacher": {"path": "teacher"},
    "students": [
        {"name": "a", "seed": 2, "model": {"layers": 1}},
        {"name": "b", "loss": {"mixing": 0.5}},
    ],
}
STUDY: dict[str, Any] = {
    "about": "small",
    "data": {"source": "synthetic", "vocab_size": 64, "context": 16, "synthetic_tokens": 200_000},
    "family": {"aspect_ratio": 8, "head_size": 8},
    "training": {"batch_tokens": 256, "validation_tokens": 2048},
    "limits": {"compute": "1e15", "epochs": 1.0, "attempts": 3},
    "protocols": [
        {"name": "alone", "students": {"params": [1e3, "6K"], "tokens": [4096, 8192]}, "seeds": [0, 1]},
        {
            "name": "taught",
            "teachers": {"params": [6e3], "tokens_per_param": [2]},
            "students": {"params": [1e3], "compute": [1e8], "most_tokens_per_param": 1e9},
            "baselines": ["tokens", "compute"],
            "only_stronger": True,
            "loss": {"mixing": 0.5},
            "training": {"rate": 0.01},
            "family": {"aspect_ratio": 16},
        },
    ],
}
ADAPTIVE = {"student_params": "6K", "student_tokens": 8192, "teacher_loss": 3.0, "deviation": 0.1, "batch": 2}
MODELS: tuple[dict[str, Any], ...] = (
    {
        "model_type": "llama",
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 128,
        "vocab_size": 512,
        "tie_word_embeddings": False,
        "attention_bias": False,
        "mlp_bias": False,
        "head_dim": 16,
        "rope_scaling": None,
        "max_position_embeddings": 512,
    },
    {
        "model_type": "gpt2",
        "n_embd": 64,
        "n_layer": 2,
        "n_head": 4,
        "n_inner": None,
        "vocab_size": 512,
        "n_positions": 128,
    },
    {
        "model_type": "gemma3",
        "vocab_size": 512,
        "text_config": {
            "model_type": "gemma3_text",
            "hidden_size": 64,
            "num_hidden_layers": 6,
            "num_attention_heads": 4,
            "num_key_value_heads": 1,
            "intermediate_size": 128,
            "sliding_window": 512,
            "sliding_window_pattern": 6,
            "head_dim": 16,
            "layer_types": ["sliding_attention"] * 5 + ["full_attention"],
            "vocab_size": 512,
        },
    },
    {
        "model_type": "qwen3",
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 128,
        "vocab_size": 512,
        "use_sliding_window": True,
        "sliding_window": 64,
        "max_window_layers": 1,
        "num_experts": 0,
        "quantization_config": {"quant_method": "gptq", "bits": 4},
    },
    {
        "model_type": "gpt_neox",
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 128,
        "vocab_size": 512,
        "attention_bias": True,
    },
)
MANIFEST: dict[str, Any] = {
    "format": 1,
    "tokenizer": "a" * 64,
    "data": "b" * 64,
    "split": "student",
    "teacher": "c" * 64,
    "context": 16,
    "vocabulary": 64,
    "kind": "dense",
    "temperature": 1.0,
    "top_k": None,
    "samples": None,
    "seed": None,
    "blocks": 4,
    "shard_blocks": 2,
}


def runs(*, distilled: bool) -> list[dict[str, Any]]:
    """A few noise-free runs of a published law."""
    from distlaw.laws import published

    law = published("busbridge2025").law
    rows = []
    for N in (1e8, 3e8, 1e9, 3e9):
        for D in (2e9, 1e10, 5e10):
            rows.append({"student_params": N, "student_tokens": D, "student_loss": float(law.supervised.loss(N, D))})
            for L_T in (2.0, 2.4, 2.8) if distilled else ():
                loss = float(law.student_loss(N, D, L_T))
                rows.append({"student_params": N, "student_tokens": D, "student_loss": loss, "teacher_loss": L_T})
    for i, row in enumerate(rows):
        row.update(
            compute=6 * row["student_params"] * row["student_tokens"], seed=i, weight=1.0, group=f"study {i % 2}"
        )
    return rows


def teachers() -> list[dict[str, Any]]:
    """A few teachers."""
    return [
        {"name": "one", "params": "7B", "loss": 2.1, "bits_per_byte": None, "tokens": None, "flops_per_token": None},
        {"name": "two", "params": "1.5B", "loss": None, "bits_per_byte": None, "tokens": "2T", "flops_per_token": 4e9},
        {"name": "three", "params": "3B", "loss": None, "bits_per_byte": 0.7, "tokens": None, "flops_per_token": None},
    ]


def table(rows: list[dict[str, Any]], suffix: str) -> bytes:
    """A table in one of the formats."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    if suffix == ".parquet":
        import pyarrow
        import pyarrow.parquet

        sink = pyarrow.BufferOutputStream()
        pyarrow.parquet.write_table(pyarrow.table({name: [row.get(name) for row in rows] for name in names}), sink)
        return sink.getvalue().to_pybytes()
    if suffix == ".csv":
        text = io.StringIO()
        lines = csv.writer(text, lineterminator="\n")
        lines.writerow(names)
        lines.writerows([["" if row.get(name) is None else row[name] for name in names] for row in rows])
        return text.getvalue().encode()
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


@cache
def laws() -> tuple[dict[str, Any], ...]:
    """Law files: a supervised one, a joint one and one upon a published law, with a few resamples each."""
    from tempfile import TemporaryDirectory

    from distlaw.fit import FitSpec, fit_law, write_law
    from distlaw.laws import published
    from distlaw.runs import Runs

    rows = runs(distilled=True)
    columns = {name: np.array([row.get(name, np.nan) for row in rows]) for name in rows[0] if name != "group"}
    every = Runs(**columns, teacher_loss=np.array([row.get("teacher_loss", np.nan) for row in rows]))
    found = []
    with TemporaryDirectory() as folder:
        file = Path(folder) / "law.json"
        for form, joint in (("supervised", False), ("effective-tokens", True), ("distillation", False)):
            some = (
                every.select(~every.distilled)
                if form == "supervised"
                else every
                if joint
                else every.select(every.distilled)
            )
            below = None if joint or form == "supervised" else published("busbridge2025").law.supervised
            fit = fit_law(some, FitSpec(form=form, joint=joint, resamples=4, starts=8), supervised=below)
            write_law(fit, file, name="law", source="runs", data="some text")
            found.append(json.loads(file.read_text(encoding="utf-8")))
    return tuple(found)
