"""Tokenizers: train a byte-level BPE, open an existing one, export one that `transformers` loads."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from distlaw.runs import one_line

END_OF_TEXT = "<|endoftext|>"
SMALLEST_BPE = 257  # every byte and the end of text
# What ends a document in well-known vocabularies; before a model's own eos_token, which in chat models ends a turn.
_ENDS = (END_OF_TEXT, "<|end_of_text|>", "</s>", "<eos>")


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Train a byte-level BPE: any text is encoded and comes back as it was, there is no unknown token.

    The same texts give the same tokenizer, in any order and on any number of threads.

    Args:
        texts: What to learn merges from.
        vocab_size: Tokens in all, 257 or more: the end of text (id 0), the 256 bytes, and merges. Little text may
            have fewer merges to give.

    Raises:
        ValueError: `vocab_size` is too small.
    """
    if vocab_size < SMALLEST_BPE:
        raise ValueError(f"vocab_size={vocab_size}: a byte-level BPE has at least {SMALLEST_BPE} tokens")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def uniform_sample(texts: Iterable[str], most_bytes: int) -> list[str]:
    """A sample of texts in one pass: those whose content has the lowest hashes, as many as fit.

    Every text is as likely as any other, whatever the order they come in.

    Args:
        texts: What to choose from.
        most_bytes: Bytes of the sample, at most; twice as many are held meanwhile. No text gives more than a sixteenth.

    Returns:
        The texts chosen, or beginnings of them, in an order of no meaning.
    """
    kept: list[tuple[bytes, bytes]] = []
    size, bound = 0, b"\xff" * 33

    def drop_highest() -> None:
        nonlocal size, bound
        kept.sort()
        while size > most_bytes:
            bound, dropped = kept.pop()
            size -= len(dropped)

    for text in texts:
        data = text.encode()
        key = hashlib.sha256(data).digest()
        if key < bound:
            kept.append((key, data[: most_bytes // 16]))
            size += len(kept[-1][1])
        if size > 2 * most_bytes:
            drop_highest()
    drop_highest()
    return [data.decode(errors="ignore") for _, data in kept]  # a character may be cut in two at the end


def identity_tokenizer(vocab_size: int) -> Tokenizer:
    """Tokenizer of the synthetic language: token id i is the word `i`; 0 ends a text."""
    words = {END_OF_TEXT: 0} | {str(token): token for token in range(1, vocab_size)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token=END_OF_TEXT))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens([END_OF_TEXT])
    return tokenizer


def load_tokenizer(path: Path) -> Tokenizer:
    """Open a tokenizer, without the truncation and padding that its file may ask for.

    Args:
        path: A `tokenizer.json`, or a folder that holds one: a Hugging Face model's, or a run's export.

    Raises:
        ValueError: There is no tokenizer there.
    """
    file = path / "tokenizer.json" if path.is_dir() else path
    shown = one_line(file)
    try:
        tokenizer = Tokenizer.from_str(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(
            f"tokenizer '{shown}' cannot be read ({error.strerror});"
            " give a tokenizer.json, a folder that holds one, or leave it empty to train one"
        ) from None
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # tokenizers raises bare Exceptions, and a panic of its Rust is not even one
        raise ValueError(f"tokenizer '{shown}' is not a tokenizer.json ({one_line(error)})") from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def find_end_of_text(tokenizer: Tokenizer, path: Path) -> str:
    """The token that ends a document.

    Args:
        tokenizer: A tokenizer.
        path: Where it was opened: an `eos_token` is looked for in the `tokenizer_config.json` there.

    Raises:
        ValueError: None of its tokens ends a document.
    """
    candidates: list[object] = list(_ENDS)
    settings = (path if path.is_dir() else path.parent) / "tokenizer_config.json"
    if settings.is_file():
        try:
            eos = json.loads(settings.read_text(encoding="utf-8")).get("eos_token")
        except (OSError, ValueError, AttributeError) as error:
            raise ValueError(f"'{one_line(settings)}' cannot be read ({one_line(error)})") from None
        candidates.append(eos["content"] if isinstance(eos, dict) and "content" in eos else eos)
    for candidate in candidates:
        if isinstance(candidate, str) and tokenizer.token_to_id(candidate) is not None:
            return candidate
    raise ValueError(
        f"tokenizer '{one_line(path)}' has no token that ends a document: neither {', '.join(_ENDS)}"
        " nor an eos_token in a tokenizer_config.json beside it"
    )


def vocabulary_size(tokenizer: Tokenizer) -> int:
    """One more than the largest token id: rows that a model's embedding needs."""
    return max(tokenizer.get_vocab(with_added_tokens=True).values()) + 1


def tokenizer_hash(tokenizer: Tokenizer) -> str:
    """SHA-256 of how a document becomes tokens, whatever the layout of the file.

    Without the post-processor: it adds the special tokens of prompts, which documents do not get, and an export to
    `transformers` gains an empty one.
    """
    settings = json.loads(tokenizer.to_str())
    settings["post_processor"] = None
    return hashlib.sha256(json.dumps(settings, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def export_tokenizer(tokenizer: Tokenizer, folder: Path, end_of_text: str = END_OF_TEXT) -> None:
    """Write the files from which `transformers.AutoTokenizer` (and `load_tokenizer`) opens this tokenizer.

    Args:
        tokenizer: What to export.
        folder: Where to; made if need be.
        end_of_text: Becomes `eos_token`.
    """
    from transformers import PreTrainedTokenizerFast

    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=end_of_text).save_pretrained(folder)
