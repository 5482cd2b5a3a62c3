"""Read a model's shape from the `config.json` of a Hugging Face model, without its libraries."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from distlaw.costs.architecture import Architecture, require_size
from distlaw.costs.model_types import MIXTURES, MODEL_TYPES, TEXT_PARTS, ModelType
from distlaw.reading import json_object, one_line, read_text

Config = Mapping[str, Any]

_TEXT_KEYS = ("text_config", "llm_config", "language_config", "thinker_config")
_OTHER_KEYS = ("vision_config", "audio_config")


def architecture_from_config(config: Config, *, n_ctx: int = 4096) -> Architecture:
    """Shape of a dense Hugging Face causal language model, or of the text part of one that also sees or hears.

    A key that a text part leaves out stands for the default of its model type, as in transformers. At the top level
    width, layers, heads and vocabulary must be given. The `notes` of the shape say which part is counted and which
    defaults were taken.

    Args:
        config: What `config.json` holds.
        n_ctx: Context length to train at, in tokens; the one in the file is the longest that serving allows and
            would overstate attention.

    Returns:
        A shape whose parameter counts equal those of the model that transformers builds.

    Raises:
        ValueError: A mixture of experts, a family that is not known here, or a missing or unusable entry.
    """
    part, family = _text_part(config)
    if experts := _experts({**config, **part}, family):
        raise ValueError(
            f"config.json describes a mixture of experts ({experts}), whose cost is not counted here: as a teacher give"
            " it in numbers, in a table `params` with `flops_per_token` (forward) and `loss`, on the page parameters"
            " (those active for a token) and loss; a student must be dense"
        )
    notes = []
    if part is not config or any(isinstance(config.get(key), Mapping) for key in _OTHER_KEYS):
        notes.append(
            f"the text part ({family!s:.40}) of {config.get('model_type')!s:.40} is counted, not its other parts"
        )
    if family in _OWN_READERS:
        return replace(_OWN_READERS[family](part, n_ctx), notes=tuple(notes))
    if family not in MODEL_TYPES:
        supported = ", ".join(sorted({*MODEL_TYPES, *TEXT_PARTS, *_OWN_READERS}))
        raise ValueError(f"model_type {family!r:.40} in config.json is not supported; supported are {supported}")
    entries = _Entries(config=part, known=MODEL_TYPES[family], nested=part is not config)
    tied = next((c["tie_word_embeddings"] for c in (config, part) if "tie_word_embeddings" in c), entries.known.tied)
    shape = _gated(entries, n_ctx, tied=bool(tied))
    if entries.assumed:
        notes.append(f"config.json leaves out, and the defaults of {family} are taken: {', '.join(entries.assumed)}")
    require_size(shape.n_params)
    return replace(shape, notes=tuple(notes))


def read_architecture(path: Path, *, n_ctx: int = 4096) -> Architecture:
    """Read the shape from a `config.json`, or from the directory that holds it.

    Raises:
        ValueError: The file cannot be read, is not JSON, or `architecture_from_config` refuses it; names the file.
    """
    try:
        file = path / "config.json" if path.is_dir() else path
    except (OSError, ValueError) as error:  # a name that is too long, or has a NUL
        reason = getattr(error, "strerror", None) or "no file can have that name"
        raise ValueError(f"{one_line(path)}: cannot be read ({reason})") from None
    try:
        return architecture_from_config(json_object(read_text(file), foreign=True), n_ctx=n_ctx)
    except ValueError as error:
        raise ValueError(f"{one_line(file)}: {error}") from None


def _text_part(config: Config) -> tuple[Config, Any]:
    """The part of a config that describes the language model, and its model type."""
    family = config.get("model_type")
    if not isinstance(family, str):
        family = None if family is None else f"{family!r:.40}"
    for key in _TEXT_KEYS:
        part = config.get(key)
        if isinstance(part, Mapping):
            inner = part.get("model_type")
            if not any(isinstance(part.get(key), Mapping) for key in _TEXT_KEYS):
                return part, inner if isinstance(inner, str) else TEXT_PARTS.get(family or "", family)
            return _text_part(part)
    return config, TEXT_PARTS.get(family or "", family)


def _experts(config: Config, family: object) -> str:
    """What shows that a config is of a mixture of experts, such as `num_experts` 128; empty for a dense model.

    A key about experts counts where it holds a number other than 0, also one level down (`ffn_config` of DBRX).
    """
    parts = [value for key, value in config.items() if isinstance(value, Mapping) and key not in _OTHER_KEYS]
    for level in (config, *parts):
        for key, value in level.items():
            words = str(key).lower().split("_")
            if ("moe" in words or "experts" in words) and isinstance(value, int | float | list) and value:
                return f"'{key!s:.40}' {value!r:.40}"
    if isinstance(family, str) and (family in MIXTURES or "moe" in family.lower()):
        return f"model_type '{family:.40}'"
    return ""


@dataclass(frozen=True, kw_only=True)
class _Entries:
    """Entries of a config, or the defaults of its model type.

    Attributes:
        config: The config, or its text part.
        known: Its model type.
        nested: Whether it is a part: then every key may be absent.
        assumed: Names and values of the defaults that were taken.
    """

    config: Config
    known: ModelType
    nested: bool = False
    assumed: list[str] = field(default_factory=list)

    def size(self, key: str) -> int:
        """A size that must be given at the top level, and may be left to its default in a part."""
        if self.nested and key not in self.config:
            return self._assume(key)
        return _count(self.config, key)

    def heads(self, n_heads: int) -> int:
        """Key-value heads: absent the type's default, and where that is none, or null, as many as query heads."""
        key = "num_key_value_heads"
        if key in self.config or self.known.num_key_value_heads is None:
            return _count(self.config, key, n_heads)
        found = self._assume(key)
        if n_heads % found:
            raise ValueError(
                f"config.json has no '{key}', and the default of its model type, {found}, does not divide the"
                f" {n_heads} heads"
            )
        return found

    def head_size(self, d_model: int, n_heads: int) -> int:
        """Size of a head: absent or null the type's default, and where that is none width / heads."""
        if self.config.get("head_dim") is None and self.known.head_dim is not None:
            return self._assume("head_dim")
        return _head_size(self.config, d_model, n_heads)

    def local(self, n_layers: int) -> tuple[int, int | None]:
        """How many layers are local, and the positions that each of them sees.

        `layer_types` says it where it is there, else the rule of the model type; without a `sliding_window`, or with
        `use_sliding_window` false, none is.
        """
        config, known = self.config, self.known
        window = config.get("sliding_window", known.sliding_window)
        switched = known.local in ("from max_window_layers", "without positions")
        if window is None or (switched and not config.get("use_sliding_window", False)):
            return 0, None
        window = _count(config, "sliding_window", known.sliding_window)
        if (kinds := config.get("layer_types")) is not None:
            return _local_kinds(kinds, n_layers), window
        if known.local == "pattern":
            period = _count(config, "sliding_window_pattern", _count(config, "_sliding_window_pattern", known.pattern))
            return n_layers - n_layers // period, window
        if known.local == "without positions":
            return n_layers // _count(config, "no_rope_layer_interval", known.pattern), window
        if known.local == "from max_window_layers":
            given = config.get("max_window_layers")
            first = (
                known.max_window_layers if given is None else 0 if given == 0 else _count(config, "max_window_layers")
            )
            return max(n_layers - first, 0), window
        return (n_layers if known.local == "all" else 0), window

    def _assume(self, key: str) -> int:
        value = getattr(self.known, key)
        self.assumed.append(f"{key} {value}")
        return value


def _local_kinds(kinds: object, n_layers: int) -> int:
    if not isinstance(kinds, list) or len(kinds) != n_layers:
        raise ValueError(
            f"'layer_types' in config.json must be a list of {n_layers} names, one a layer, got {kinds!r:.40}"
        )
    for i, kind in enumerate(kinds):
        if kind not in ("sliding_attention", "full_attention"):
            raise ValueError(
                f"'layer_types' in config.json: layer {i} is {kind!r:.40}; sliding_attention and"
                " full_attention are counted here"
            )
    return kinds.count("sliding_attention")


def _gated(entries: _Entries, n_ctx: int, *, tied: bool) -> Architecture:
    """Shape of a model with gated feed-forward, RMSNorm and rotary positions."""
    config, known = entries.config, entries.known
    d_model, n_heads = entries.size("hidden_size"), entries.size("num_attention_heads")
    n_kv_heads, d_head = entries.heads(n_heads), entries.head_size(d_model, n_heads)
    d_ff, n_layers = entries.size("intermediate_size"), entries.size("num_hidden_layers")
    n_local, window = entries.local(n_layers)
    query, key_value = n_heads * d_head, n_kv_heads * d_head
    bias = 0
    if config.get("attention_bias"):
        bias += query + 2 * key_value + d_model
    elif known.qkv_bias:
        bias += query + 2 * key_value
    if config.get("mlp_bias"):
        bias += 2 * d_ff + d_model
    return Architecture(
        n_layers=n_layers,
        d_model=d_model,
        n_heads=n_heads,
        n_kv_heads=n_kv_heads,
        d_head=d_head,
        d_ff=d_ff,
        n_vocab=entries.size("vocab_size"),
        n_ctx=n_ctx,
        tied=tied,
        n_norms=known.n_norms,
        qk_norm_params={"": 0, "head": 2 * d_head, "width": query + key_value}[known.qk_norm],
        bias_params=bias,
        n_local=n_local,
        window=window,
    )


def _gpt2(config: Config, n_ctx: int) -> Architecture:
    d_model, n_heads = _count(config, "n_embd"), _count(config, "n_head")
    d_ff = _count(config, "n_inner", 4 * d_model)
    return Architecture(
        n_layers=_count(config, "n_layer"),
        d_model=d_model,
        n_heads=n_heads,
        n_kv_heads=n_heads,
        d_head=d_model // n_heads,
        d_ff=d_ff,
        n_vocab=_count(config, "vocab_size"),
        n_ctx=n_ctx,
        n_ffn=2,
        tied=bool(config.get("tie_word_embeddings", True)),
        norm_params=2,
        bias_params=3 * d_model + d_model + d_ff + d_model,
        learned_positions=_count(config, "n_positions", 1024),
    )


def _gpt_neox(config: Config, n_ctx: int) -> Architecture:
    d_model, n_heads = _count(config, "hidden_size"), _count(config, "num_attention_heads")
    d_ff = _count(config, "intermediate_size")
    return Architecture(
        n_layers=_count(config, "num_hidden_layers"),
        d_model=d_model,
        n_heads=n_heads,
        n_kv_heads=n_heads,
        d_head=_head_size(config, d_model, n_heads),
        d_ff=d_ff,
        n_vocab=_count(config, "vocab_size"),
        n_ctx=n_ctx,
        n_ffn=2,
        tied=bool(config.get("tie_word_embeddings", False)),
        norm_params=2,
        bias_params=(4 * d_model if config.get("attention_bias", True) else 0) + d_ff + d_model,
    )


_OWN_READERS: dict[str, Callable[[Config, int], Architecture]] = {"gpt2": _gpt2, "gpt_neox": _gpt_neox}


def _count(config: Config, key: str, default: int | None = None) -> int:
    value = config.get(key)
    if value is None:
        value = default
    if value is None:
        raise ValueError(f"config.json has no '{key}'")
    if isinstance(value, int) and value > 10**9:
        raise ValueError(f"'{key}' in config.json is beyond any model, at most 1e9 will do, got {value!r:.40}")
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"'{key}' in config.json must be a whole number of at least 1, got {value!r:.40}")
    return value


def _head_size(config: Config, d_model: int, n_heads: int) -> int:
    given = config.get("head_dim")
    if given is None and d_model % n_heads:
        raise ValueError(f"'num_attention_heads' {n_heads} does not divide 'hidden_size' {d_model} in config.json")
    return _count(config, "head_dim", d_model // n_heads)
