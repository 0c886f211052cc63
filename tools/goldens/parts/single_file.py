"""Where checkpoints in one file, in the layout of the models' authors, have the parameters of `models/sd15 sd2 sdxl`.

Not the files, which would be the same weights again: `golden/single_file.json` lists, for every tensor of such a file, which
parameters of the folder it is made of and how. diffusers' own converter, which goes the other way, checks each list: it must
give the folder's weights back.
"""
import json
import pathlib
import re

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders.single_file_utils import (
    convert_ldm_clip_checkpoint, convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint, convert_open_clip_checkpoint)
from safetensors.torch import load_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from .common import Golden

RESNET = {"norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0",
          "conv2": "out_layers.3", "conv_shortcut": "skip_connection"}
UNET_ENDS = {"time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
             "add_embedding.linear_1": "label_emb.0.0", "add_embedding.linear_2": "label_emb.0.2",
             "conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2"}
VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
OPEN_CLIP = {"embeddings.token_embedding.weight": "token_embedding.weight",
             "embeddings.position_embedding.weight": "positional_embedding",
             "final_layer_norm.weight": "ln_final.weight", "final_layer_norm.bias": "ln_final.bias"}
OPEN_CLIP_LAYER = {"self_attn.out_proj": "attn.out_proj", "layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc",
                   "mlp.fc2": "mlp.c_proj"}

# prefix and kind of each text encoder
TEXT = {
    "sd15": {"text_encoder": ("cond_stage_model.transformer.", "clip")},
    "sd2": {"text_encoder": ("cond_stage_model.model.", "open_clip")},
    "sdxl": {"text_encoder": ("conditioner.embedders.0.transformer.", "clip"),
             "text_encoder_2": ("conditioner.embedders.1.model.", "open_clip")},
}


def swap_head(name, table):
    for new, old in table.items():
        if name.startswith(f"{new}."):
            return old + name[len(new):]
    raise KeyError(name)


def unet_names(names, layers):
    """Parameter -> name in the original layout. `layers` are residual blocks per level on the way down."""
    has_attention = {name.split(".attentions.")[0] for name in names if ".attentions." in name}
    renamed = {}
    for name in names:
        if block := re.match(r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.*)", name):
            side, level, kind, index, rest = block[1], int(block[2]), block[3], int(block[4]), block[5]
            number = 1 + level * (layers + 1) + index if side == "down" else level * (layers + 1) + index
            target = f"{'input' if side == 'down' else 'output'}_blocks.{number}"
            if kind == "resnets":
                renamed[name] = f"{target}.0.{swap_head(rest, RESNET)}"
            elif kind == "attentions":
                renamed[name] = f"{target}.1.{rest}"
            elif kind == "downsamplers":
                renamed[name] = f"input_blocks.{(level + 1) * (layers + 1)}.0.op.{rest.removeprefix('conv.')}"
            else:
                slot = 2 if f"up_blocks.{level}" in has_attention else 1
                renamed[name] = f"output_blocks.{level * (layers + 1) + layers}.{slot}.{rest}"
        elif mid := re.match(r"mid_block\.(resnets|attentions)\.(\d+)\.(.*)", name):
            is_resnet = mid[1] == "resnets"
            renamed[name] = f"middle_block.{2 * int(mid[2])}.{swap_head(mid[3], RESNET)}" if is_resnet else f"middle_block.1.{mid[3]}"
        else:
            renamed[name] = swap_head(name, UNET_ENDS)
    return renamed


def vae_names(names, levels):
    renamed = {}
    for name in names:
        old = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
        old = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", old)
        if attention := re.match(r"(\w+)\.mid_block\.attentions\.0\.(.*)", old):
            old = f"{attention[1]}.mid.attn_1.{swap_head(attention[2], VAE_ATTENTION)}"
        old = re.sub(r"down_blocks\.(\d+)\.resnets", r"down.\1.block", old)
        old = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample", old)
        old = re.sub(r"up_blocks\.(\d+)\.resnets", lambda m: f"up.{levels - 1 - int(m[1])}.block", old)
        renamed[name] = re.sub(r"up_blocks\.(\d+)\.upsamplers\.0", lambda m: f"up.{levels - 1 - int(m[1])}.upsample", old)
    return renamed


def vae_map(weights, levels):
    """Original name -> [operation, parameter]; attention's projections are 1 x 1 convolutions there."""
    out = {}
    for name, old in vae_names(weights, levels).items():
        is_projection = ".mid.attn_1." in old and old.endswith(".weight") and weights[name].ndim == 2
        out[old] = ["conv1x1" if is_projection else "copy", name]
    return out


def open_clip_map(weights):
    out = {}
    for name in weights:
        short = name.removeprefix("text_model.")
        if short == "text_projection.weight":
            out["text_projection"] = ["transpose", name]
        elif layer := re.match(r"encoder\.layers\.(\d+)\.(.*)", short):
            block, rest = f"transformer.resblocks.{layer[1]}.", layer[2]
            if projection := re.match(r"self_attn\.([qkv])_proj\.(weight|bias)", rest):
                stack = out.setdefault(f"{block}attn.in_proj_{projection[2]}", ["concat0", None, None, None])
                stack[1 + "qkv".index(projection[1])] = name
            else:
                out[block + swap_head(rest, OPEN_CLIP_LAYER)] = ["copy", name]
        else:
            out[OPEN_CLIP[short]] = ["copy", name]
    return out


def build(operation, tensors):
    """The tensor of the file."""
    if operation == "concat0":
        return torch.cat(tensors)
    (tensor,) = tensors
    return {"copy": tensor, "transpose": tensor.T.contiguous() if tensor.ndim == 2 else tensor,
            "conv1x1": tensor[..., None, None]}[operation]


def same(what, found, expected):
    if set(found) != set(expected):
        raise ValueError(f"{what}: {sorted(set(found) ^ set(expected))[:4]}")
    for name, tensor in expected.items():
        if not torch.equal(found[name].reshape(tensor.shape), tensor):
            raise ValueError(f"{what}: {name} differs")


def check(folder, model, file, parts):
    """diffusers' converter must give the folder's weights back."""
    same("unet", convert_ldm_unet_checkpoint(dict(file), dict(UNet2DConditionModel.load_config(folder / "unet"))), parts["unet"])
    same("vae", convert_ldm_vae_checkpoint(dict(file), dict(AutoencoderKL.load_config(folder / "vae"))), parts["vae"])
    for part, (prefix, kind) in TEXT[model].items():
        if kind == "clip":
            found = convert_ldm_clip_checkpoint(dict(file), remove_prefix=prefix)
        else:
            config = CLIPTextConfig.from_pretrained(folder / part)
            cls = CLIPTextModelWithProjection if "text_projection.weight" in parts[part] else CLIPTextModel
            found = convert_open_clip_checkpoint(cls(config), dict(file), prefix=prefix)
        bare = lambda weights: {k.removeprefix("text_model."): v for k, v in weights.items() if not k.endswith("position_ids")}
        expected = bare(parts[part])
        same(part, {k: v for k, v in bare(found).items() if k in expected}, expected)


def make(out):
    golden = Golden(out, "single_file")
    for model, encoders in TEXT.items():
        folder = pathlib.Path(out) / "models" / model
        parts = {part: load_file(folder / part / "diffusion_pytorch_model.safetensors") for part in ("unet", "vae")}
        parts |= {part: load_file(folder / part / "model.safetensors") for part in encoders}
        config = {part: json.loads((folder / part / "config.json").read_text("utf-8")) for part in ("unet", "vae")}
        names = unet_names(parts["unet"], config["unet"]["layers_per_block"])
        made = {f"model.diffusion_model.{old}": ["copy", f"unet:{name}"] for name, old in names.items()}
        made |= {f"first_stage_model.{old}": [operation, f"vae:{name}"] for old, (operation, name)
                 in vae_map(parts["vae"], len(config["vae"]["block_out_channels"])).items()}
        for part, (prefix, kind) in encoders.items():
            entries = open_clip_map(parts[part]) if kind == "open_clip" else {name: ["copy", name] for name in parts[part]}
            made |= {prefix + old: [operation, *(f"{part}:{name}" for name in names)] for old, (operation, *names) in entries.items()}
        tensors = {source: tensor for part, weights in parts.items() for source, tensor in
                   ((f"{part}:{name}", tensor) for name, tensor in weights.items())}
        file = {old: build(operation, [tensors[source] for source in sources]) for old, (operation, *sources) in made.items()}
        check(folder, model, file, parts)
        # most are copies: those without their operation, to keep the file small
        golden.case(model, tensors={old: made[old][1] if made[old][0] == "copy" else made[old] for old in sorted(made)})
    golden.save()
