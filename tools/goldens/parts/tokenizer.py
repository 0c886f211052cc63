"""A CLIP-shaped byte-pair tokenizer small enough to ship, and what CLIP's own vocabulary makes of difficult texts."""
import collections
import gzip
import json
import pathlib

import regex
from transformers import CLIPTokenizer

from .common import Golden, PROMPTS

CORPUS = """a red circle above a blue square on a yellow background. a photograph of an astronaut riding a horse,
highly detailed, sharp focus, 4k, 8k, masterpiece, best quality, blurry, low quality, worst quality, a painting of a cat
in the style of van gogh, watercolor, oil painting, digital art, trending on artstation, cinematic lighting, portrait of
a woman, a man, a dog, a house by the sea, mountains, sunset, forest, green triangle below an orange star, left of, right
of, next to, inside, outside, large, small, purple, white, black, grey, pink, brown background, photo, photography, bokeh,
depth of field, intricate, elegant, concept art, smooth, illustration, don't, it's, we've, you're, i'm, they'll, he'd
the quick brown fox jumps over the lazy dog 0 1 2 3 4 5 6 7 8 9 castle river bridge city street night light fantasy"""

TEXTS = PROMPTS + [
    "Hello, World!", "  leading and   trailing   ", "tabs\tand\nnewlines", "UPPER lower MiXeD",
    "it's we're they'll i'd don't i'm you've", "IT'S DON'T", "12345 3.14 1,000", "a-b_c/d\\e", "emoji 😀😃 👩‍👩‍👧",
    "Привет мир", "مرحبا", "日本語テスト", "한국어", "é vs é", "ﬁ ligature ½ ² ™", "<|startoftext|> inside <|endoftext|> text",
    "(masterpiece:1.2), [low], {x}", "!!!???...", "''", "\u00a0nbsp\u200bzero", "ǅ Ⅷ ß İ ı", "a\u0301 combining",
    "supercalifragilisticexpialidocious", "x", "'", "'s", "the cat's 9 lives", "C++ C# F#", "http://example.com/?q=1&r=2",
    "&amp; html &lt;b&gt;", "１２３ fullwidth ＡＢＣ",
]

START, END = "<|startoftext|>", "<|endoftext|>"
VOCAB = 1000  # the corpus is exhausted before
CLIP_MERGES = pathlib.Path(__file__).parents[3] / "assets" / "clip" / "merges.txt.gz"


def byte_symbols():
    """Byte -> the printable character that stands for it, in the order of CLIP's table."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    symbols = {b: chr(b) for b in printable}
    for b in range(256):
        if b not in symbols:
            symbols[b] = chr(256 + len(symbols) - len(printable))
    return symbols


def vocabulary(merges):
    """Token -> id: bytes, bytes that end a word, merges, and the two special tokens."""
    base = list(byte_symbols().values())
    tokens = base + [b + "</w>" for b in base] + ["".join(pair) for pair in merges] + [START, END]
    if len(set(tokens)) != len(tokens):
        raise ValueError("a token occurs twice")
    return {token: i for i, token in enumerate(tokens)}


def train():
    """Byte-pair encoding learnt from the corpus: (vocabulary, merges)."""
    symbols = byte_symbols()
    pattern = regex.compile(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+")
    words = collections.Counter("".join(symbols[b] for b in w.encode()) for w in pattern.findall(CORPUS.lower()))
    splits = {word: [*word[:-1], word[-1] + "</w>"] for word in words}
    merges = []
    while len(merges) < VOCAB - 514:
        pairs = collections.Counter()
        for word, parts in splits.items():
            for pair in zip(parts, parts[1:]):
                pairs[pair] += words[word]
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        splits = {word: merged(parts, best) for word, parts in splits.items()}
    return vocabulary(merges), merges


def merged(parts, pair):
    """`parts` with every occurrence of `pair` joined, from the left."""
    out, i = [], 0
    while i < len(parts):
        if tuple(parts[i:i + 2]) == pair:
            out.append("".join(pair))
            i += 2
        else:
            out.append(parts[i])
            i += 1
    return out


def save(folder, vocab, merges, pad):
    """Writes a tokenizer as model folders have it and opens it."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)

    def token(text, **more):
        return {"content": text, "lstrip": False, "normalized": True, "rstrip": False, "single_word": False, **more}

    added = {"__type": "AddedToken"}
    files = {
        "vocab.json": json.dumps(vocab, ensure_ascii=False),
        "merges.txt": "#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges),
        "special_tokens_map.json": json.dumps(
            {"bos_token": token(START), "eos_token": token(END), "pad_token": pad, "unk_token": token(END)}, indent=1),
        "tokenizer_config.json": json.dumps(
            {"add_prefix_space": False, "bos_token": token(START, **added), "do_lower_case": True,
             "eos_token": token(END, **added), "errors": "replace", "model_max_length": 77, "pad_token": pad,
             "tokenizer_class": "CLIPTokenizer", "unk_token": token(END, **added)}, indent=1),
    }
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return CLIPTokenizer.from_pretrained(folder)


def ids(tokenizer, text):
    """Ids of 77 tokens, padded and cut, as pipelines ask for them."""
    return tokenizer(text, padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids


def make(out):
    vocab, merges = train()
    golden = Golden(out, "tokenizer")
    for name, pad in (("eos_pad", END), ("bang_pad", "!")):
        tokenizer = save(f"{out}/files/tokenizer_{name}", vocab, merges, pad)
        rows = [{"text": text, "ids": tokenizer(text)["input_ids"],
                 "padded77": tokenizer(text, padding="max_length", max_length=77, truncation=True)["input_ids"]}
                for text in TEXTS]
        golden.case(name, pad=pad, pad_id=tokenizer.pad_token_id, rows=rows)
    tokenizer.backend_tokenizer.save(f"{out}/files/tokenizer_bang_pad/tokenizer.json")
    clip_merges = [tuple(line.split()) for line in gzip.open(CLIP_MERGES, "rt", encoding="utf-8").read().splitlines()]
    clip = CLIPTokenizer(vocab=vocabulary(clip_merges), merges=clip_merges)
    golden.case("real_clip_vocab", source="OpenAI CLIP's table, as in assets/clip", vocab_size=len(clip_merges) + 514,
                rows=[{"text": text, "ids": clip(text)["input_ids"]} for text in TEXTS])
    golden.save()
