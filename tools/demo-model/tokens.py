"""A CLIP-style tokenizer over the captions' own words: byte-level BPE, lower case, `</w>` ends a word."""
import json
import os

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

SOT, EOT, LENGTH = "<|startoftext|>", "<|endoftext|>", 77
PATTERN = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def byte_characters():
    """The printable stand-in of each byte, in the order in which CLIP numbers them."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in plain]
    return [chr(b) for b in plain] + [chr(256 + i) for i in range(len(rest))]


def pipeline(model):
    t = Tokenizer(model)
    t.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(PATTERN), "removed", invert=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    return t


def train(captions, merges=900):
    t = pipeline(models.BPE(end_of_word_suffix="</w>"))
    t.train_from_iterator(captions, trainers.BpeTrainer(vocab_size=512 + merges, min_frequency=3, initial_alphabet=byte_characters(),
                                                        end_of_word_suffix="</w>", show_progress=False))
    pairs = [tuple(m) for m in json.loads(t.to_str())["model"]["merges"]]
    names = byte_characters() + [c + "</w>" for c in byte_characters()] + ["".join(p) for p in pairs] + [SOT, EOT]
    return {n: i for i, n in enumerate(dict.fromkeys(names))}, pairs


def encoder(vocab, pairs):
    return pipeline(models.BPE(vocab=vocab, merges=pairs, end_of_word_suffix="</w>", unk_token=EOT))


def encode(tokenizer, vocab, captions):
    """Token ids [n, 77], padded with the end token, and the position of each caption's end."""
    rows, ends = [], []
    for e in tokenizer.encode_batch(list(captions)):
        ids = [vocab[SOT], *e.ids[:LENGTH - 2]]
        ends.append(len(ids))
        rows.append(ids + [vocab[EOT]] * (LENGTH - len(ids)))
    return rows, ends


def save(folder, vocab, pairs):
    os.makedirs(folder, exist_ok=True)

    def write(name, text):
        with open(f"{folder}/{name}", "w", encoding="utf-8") as f:
            f.write(text)

    write("vocab.json", json.dumps(vocab, ensure_ascii=False))
    write("merges.txt", "#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in pairs))
    special = dict(bos_token=SOT, eos_token=EOT, unk_token=EOT, pad_token=EOT)
    write("special_tokens_map.json", json.dumps(special, indent=2) + "\n")
    write("tokenizer_config.json", json.dumps(special | dict(tokenizer_class="CLIPTokenizer", model_max_length=LENGTH, do_lower_case=True), indent=2) + "\n")
