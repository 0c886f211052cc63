#!/usr/bin/env python3
"""Writes a diffusers folder with the full size of Stable Diffusion 1.5 and random f16 weights.

Time and memory do not depend on the values of the weights, so a benchmark needs no download: 860 M parameters of UNet,
123 M of text encoder, 84 M of VAE, 2.1 GB on disk. Only numpy is needed; it takes well under a minute.

    python make_sd15_random.py OUT [--seed 0] [--check]

The tokenizer is a made-up byte-level BPE table with the real table's size (49,408), so that its ids fit the embedding.
`--check` builds the networks in diffusers and transformers without memory (device "meta") and compares every name and
shape with what was written.
"""
import argparse
import itertools
import json
import math
import pathlib
import struct
import time

import numpy as np

VOCAB = 49408

UNET = {
    "_class_name": "UNet2DConditionModel", "_diffusers_version": "0.6.0", "act_fn": "silu", "attention_head_dim": 8,
    "block_out_channels": [320, 640, 1280, 1280], "center_input_sample": False, "cross_attention_dim": 768,
    "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"], "downsample_padding": 1, "flip_sin_to_cos": True,
    "freq_shift": 0, "in_channels": 4, "layers_per_block": 2, "mid_block_scale_factor": 1, "norm_eps": 1e-05,
    "norm_num_groups": 32, "out_channels": 4, "sample_size": 64,
    "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
}
VAE = {
    "_class_name": "AutoencoderKL", "_diffusers_version": "0.6.0", "act_fn": "silu", "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4, "in_channels": 3, "latent_channels": 4, "layers_per_block": 2,
    "norm_num_groups": 32, "out_channels": 3, "sample_size": 512, "scaling_factor": 0.18215,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
}
TEXT = {
    "architectures": ["CLIPTextModel"], "attention_dropout": 0.0, "bos_token_id": 0, "eos_token_id": 2, "hidden_act": "quick_gelu",
    "hidden_size": 768, "initializer_factor": 1.0, "initializer_range": 0.02, "intermediate_size": 3072, "layer_norm_eps": 1e-05,
    "max_position_embeddings": 77, "model_type": "clip_text_model", "num_attention_heads": 12, "num_hidden_layers": 12,
    "pad_token_id": 1, "projection_dim": 768, "torch_dtype": "float16", "vocab_size": VOCAB,
}
SCHEDULER = {
    "_class_name": "PNDMScheduler", "_diffusers_version": "0.6.0", "beta_end": 0.012, "beta_schedule": "scaled_linear",
    "beta_start": 0.00085, "clip_sample": False, "num_train_timesteps": 1000, "prediction_type": "epsilon",
    "set_alpha_to_one": False, "skip_prk_steps": True, "steps_offset": 1, "timestep_spacing": "leading", "trained_betas": None,
}
INDEX = {
    "_class_name": "StableDiffusionPipeline", "_diffusers_version": "0.6.0", "feature_extractor": [None, None],
    "requires_safety_checker": False, "safety_checker": [None, None], "scheduler": ["diffusers", "PNDMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"], "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"],
}


class Shapes(dict):
    """Parameter name -> shape, written layer by layer."""

    def weights(self, name, *shape, bias=True):
        self[f"{name}.weight"] = shape
        if bias:
            self[f"{name}.bias"] = (shape[0],)

    def norm(self, name, channels):
        self.weights(name, channels)

    def conv(self, name, out, into, kernel=3):
        self.weights(name, out, into, kernel, kernel)

    def resnet(self, name, into, out, time=None):
        self.norm(f"{name}.norm1", into)
        self.conv(f"{name}.conv1", out, into)
        if time:
            self.weights(f"{name}.time_emb_proj", out, time)
        self.norm(f"{name}.norm2", out)
        self.conv(f"{name}.conv2", out, out)
        if into != out:
            self.conv(f"{name}.conv_shortcut", out, into, kernel=1)

    def attention(self, name, channels, context=None):
        bias = context is None
        for role in "qkv":
            self.weights(f"{name}.to_{role}", channels, channels if role == "q" or bias else context, bias=bias)
        self.weights(f"{name}.to_out.0", channels, channels)

    def transformer(self, name, channels, context):
        self.norm(f"{name}.norm", channels)
        self.conv(f"{name}.proj_in", channels, channels, kernel=1)
        block = f"{name}.transformer_blocks.0"
        self.attention(f"{block}.attn1", channels, channels)
        self.attention(f"{block}.attn2", channels, context)
        for i in (1, 2, 3):
            self.norm(f"{block}.norm{i}", channels)
        self.weights(f"{block}.ff.net.0.proj", 8 * channels, channels)
        self.weights(f"{block}.ff.net.2", channels, 4 * channels)
        self.conv(f"{name}.proj_out", channels, channels, kernel=1)


def unet_shapes():
    s, ch, context = Shapes(), UNET["block_out_channels"], UNET["cross_attention_dim"]
    layers, time = UNET["layers_per_block"], 4 * UNET["block_out_channels"][0]
    s.conv("conv_in", ch[0], UNET["in_channels"])
    s.weights("time_embedding.linear_1", time, ch[0])
    s.weights("time_embedding.linear_2", time, time)
    skips, at = [ch[0]], ch[0]
    for i, out in enumerate(ch):
        for j in range(layers):
            s.resnet(f"down_blocks.{i}.resnets.{j}", at, out, time)
            if UNET["down_block_types"][i].startswith("CrossAttn"):
                s.transformer(f"down_blocks.{i}.attentions.{j}", out, context)
            at = out
            skips.append(out)
        if i + 1 < len(ch):
            s.conv(f"down_blocks.{i}.downsamplers.0.conv", out, out)
            skips.append(out)
    s.resnet("mid_block.resnets.0", at, at, time)
    s.transformer("mid_block.attentions.0", at, context)
    s.resnet("mid_block.resnets.1", at, at, time)
    for i, out in enumerate(reversed(ch)):
        for j in range(layers + 1):
            s.resnet(f"up_blocks.{i}.resnets.{j}", at + skips.pop(), out, time)
            if UNET["up_block_types"][i].startswith("CrossAttn"):
                s.transformer(f"up_blocks.{i}.attentions.{j}", out, context)
            at = out
        if i + 1 < len(ch):
            s.conv(f"up_blocks.{i}.upsamplers.0.conv", out, out)
    s.norm("conv_norm_out", at)
    s.conv("conv_out", UNET["out_channels"], at)
    return s


def vae_shapes():
    s, ch, latent, layers = Shapes(), VAE["block_out_channels"], VAE["latent_channels"], VAE["layers_per_block"]

    def middle(name, channels):
        s.resnet(f"{name}.mid_block.resnets.0", channels, channels)
        s.norm(f"{name}.mid_block.attentions.0.group_norm", channels)
        s.attention(f"{name}.mid_block.attentions.0", channels)
        s.resnet(f"{name}.mid_block.resnets.1", channels, channels)

    s.conv("encoder.conv_in", ch[0], 3)
    at = ch[0]
    for i, out in enumerate(ch):
        for j in range(layers):
            s.resnet(f"encoder.down_blocks.{i}.resnets.{j}", at, out)
            at = out
        if i + 1 < len(ch):
            s.conv(f"encoder.down_blocks.{i}.downsamplers.0.conv", out, out)
    middle("encoder", at)
    s.norm("encoder.conv_norm_out", at)
    s.conv("encoder.conv_out", 2 * latent, at)
    s.conv("quant_conv", 2 * latent, 2 * latent, kernel=1)
    s.conv("post_quant_conv", latent, latent, kernel=1)
    s.conv("decoder.conv_in", at, latent)
    middle("decoder", at)
    for i, out in enumerate(reversed(ch)):
        for j in range(layers + 1):
            s.resnet(f"decoder.up_blocks.{i}.resnets.{j}", at, out)
            at = out
        if i + 1 < len(ch):
            s.conv(f"decoder.up_blocks.{i}.upsamplers.0.conv", out, out)
    s.norm("decoder.conv_norm_out", at)
    s.conv("decoder.conv_out", 3, at)
    return s


def text_shapes():
    s, width = Shapes(), TEXT["hidden_size"]
    s["text_model.embeddings.token_embedding.weight"] = (VOCAB, width)
    s["text_model.embeddings.position_embedding.weight"] = (TEXT["max_position_embeddings"], width)
    for i in range(TEXT["num_hidden_layers"]):
        layer = f"text_model.encoder.layers.{i}"
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            s.weights(f"{layer}.self_attn.{part}", width, width)
        s.norm(f"{layer}.layer_norm1", width)
        s.norm(f"{layer}.layer_norm2", width)
        s.weights(f"{layer}.mlp.fc1", TEXT["intermediate_size"], width)
        s.weights(f"{layer}.mlp.fc2", width, TEXT["intermediate_size"])
    s.norm("text_model.final_layer_norm", width)
    return s


def write_safetensors(path, shapes, rng):
    """Streams random tensors in f16: gains near 1, biases near 0, weights scaled to keep activations bounded."""
    pool = rng.standard_normal(1 << 22, dtype=np.float32)
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in shapes.items():
        size = 2 * math.prod(shape)
        header[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, shape in shapes.items():
            count = math.prod(shape)
            if len(shape) == 1:
                is_gain = name.endswith("weight")
                values = 0.02 * pool[:count] + (1.0 if is_gain else 0.0)
                file.write(values.astype("<f2").tobytes())
                continue
            scale = 0.02 if "embedding.weight" in name else 1 / math.sqrt(math.prod(shape[1:]))
            scaled = (scale * pool).astype("<f2")
            start = int(rng.integers(len(pool)))
            while count:
                piece = scaled[start:start + count]
                file.write(piece.tobytes())
                count, start = count - len(piece), 0


def byte_symbols():
    """The printable stand-ins of the 256 bytes, in the order of CLIP's table."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    return [chr(b) for b in printable] + [chr(256 + i) for i in range(256 - len(printable))]


def write_tokenizer(folder):
    letters, end = "etaoinshrdlcumwfgypbvkjxqz", "</w>"
    pairs = [a + b for a, b in itertools.product(letters, repeat=2)]
    merges = [(a, b) for a, b in itertools.product(letters, repeat=2)]
    merges += [(a, b + end) for a, b in itertools.product(letters, repeat=2)]
    merges += [(p, c) for p, c in itertools.product(pairs, letters)]
    merges += [(p, c + end) for p, c in itertools.product(pairs, letters)]
    merges += [(p, q) for p, q in itertools.product(pairs, repeat=2)]
    base = byte_symbols()
    merges = merges[:VOCAB - 2 * len(base) - 2]
    tokens = base + [b + end for b in base] + ["".join(m) for m in merges] + ["<|startoftext|>", "<|endoftext|>"]
    vocab = {token: i for i, token in enumerate(tokens)}
    if len(vocab) != VOCAB:
        raise SystemExit(f"the made-up table has {len(vocab)} tokens, not {VOCAB}")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False), encoding="utf-8")
    lines = "".join(f"{a} {b}\n" for a, b in merges)
    (folder / "merges.txt").write_text("#version: 0.2\n" + lines, encoding="utf-8")
    special = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}
    write_json(folder / "special_tokens_map.json", special)
    write_json(folder / "tokenizer_config.json", {
        "add_prefix_space": False, "do_lower_case": True, "errors": "replace", "model_max_length": 77,
        "tokenizer_class": "CLIPTokenizer", **special})


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def check(shapes):
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel
    with torch.device("meta"):
        built = {"unet": UNet2DConditionModel.from_config(UNET), "vae": AutoencoderKL.from_config(VAE),
                 "text_encoder": CLIPTextModel(CLIPTextConfig(**{k: v for k, v in TEXT.items() if k != "torch_dtype"}))}
    for part, model in built.items():
        want = {name: tuple(p.shape) for name, p in model.named_parameters()}
        if part == "text_encoder":  # transformers 5 dropped the prefix that published checkpoints have
            want = {name if name.startswith("text_model.") else f"text_model.{name}": shape for name, shape in want.items()}
        if want != dict(shapes[part]):
            odd = sorted(set(want.items()) ^ set(shapes[part].items()))
            raise SystemExit(f"{part}: {len(odd)} names or shapes differ, e.g. {odd[:4]}")
        print(f"{part}: {len(want)} tensors agree with the library")


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("out", type=pathlib.Path)
    args.add_argument("--seed", type=int, default=0)
    args.add_argument("--check", action="store_true")
    args = args.parse_args()
    start, rng = time.time(), np.random.default_rng(args.seed)
    shapes = {"unet": unet_shapes(), "vae": vae_shapes(), "text_encoder": text_shapes()}
    if args.check:
        check(shapes)
    files = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model", "text_encoder": "model"}
    for (part, names), config in zip(shapes.items(), (UNET, VAE, TEXT)):
        write_safetensors(args.out / part / f"{files[part]}.safetensors", names, rng)
        write_json(args.out / part / "config.json", config)
        print(f"{part}: {sum(map(math.prod, names.values())) / 1e6:.1f} M parameters")
    write_tokenizer(args.out / "tokenizer")
    write_json(args.out / "scheduler" / "scheduler_config.json", SCHEDULER)
    write_json(args.out / "model_index.json", INDEX)
    print(f"{args.out}: {time.time() - start:.0f} s")


if __name__ == "__main__":
    main()
