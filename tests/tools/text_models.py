"""Text models with random weights, placed where an offline user would place real ones.

`python text_models.py FOLDER` creates the BERT in the tool's environment, with its transformers; nothing is downloaded.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

WORDS = ["car", "person", "cup", "sky", ".", ",", "a", "photo", "an", "the", "task", "is", "of", "with"]
BERT, CLIP = "bert", "clip"
CLIP_NAME = "openai/clip-vit-base-patch32"
"""The tokenizer that oneformer names in its source."""


def offline(folder: Path) -> dict[str, str]:
    """Create CLIP's tokenizer below `folder`. Returns the variables with which a tool finds it and asks no network."""
    _clip(folder / "huggingface")
    return {"HF_HOME": str(folder / "huggingface"), "HF_HUB_OFFLINE": "1"}


def make_bert(python: Path, folder: Path) -> None:
    """Create a BERT with its vocabulary below `folder`, unless an earlier run has."""
    if (folder / BERT / "config.json").exists():
        return
    done = subprocess.run([python, __file__, folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def _bert(folder: Path) -> None:
    from transformers import BertConfig, BertModel

    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "?", *WORDS, *map(chr, range(97, 123))]
    vocabulary += [f"##{chr(letter)}" for letter in range(97, 123)]
    (folder / "vocab.txt").write_text("\n".join(dict.fromkeys(vocabulary)) + "\n")
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "BertTokenizer", "model_max_length": 512})
    )
    config = BertConfig(
        vocab_size=len(dict.fromkeys(vocabulary)),
        hidden_size=768,
        num_hidden_layers=1,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=512,
    )
    BertModel(config).save_pretrained(folder)


def _clip(cache: Path) -> None:
    """In the layout of the cache of huggingface_hub: a snapshot, and the branch that names it."""
    place = cache / "hub" / ("models--" + CLIP_NAME.replace("/", "--"))
    revision = "0" * 40
    snapshot = place / "snapshots" / revision
    snapshot.mkdir(parents=True, exist_ok=True)
    (place / "refs").mkdir(exist_ok=True)
    (place / "refs" / "main").write_text(revision)
    letters = [chr(number) for number in (*range(33, 127), *range(161, 173), *range(174, 256))]
    letters += [chr(256 + number) for number in range(256 - len(letters))]
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (snapshot / "vocab.json").write_text(json.dumps({token: at for at, token in enumerate(tokens)}))
    (snapshot / "merges.txt").write_text("#version: 0.2\n")
    (snapshot / "config.json").write_text(json.dumps({"model_type": "clip"}))
    special = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>"}
    special |= {"unk_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}
    (snapshot / "special_tokens_map.json").write_text(json.dumps(special))
    settings = special | {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77}
    (snapshot / "tokenizer_config.json").write_text(json.dumps(settings))


if __name__ == "__main__":
    _bert(Path(sys.argv[1]) / BERT)
