"""A packed model as a folder of diffusers. `python unpack.py PACKED FOLDER`; Python's own library is enough.

The manifest says where every parameter is; shards are safetensors files, but only their bytes are needed here. Quantised
models are not unpacked: their numbers exist only in blocks.
"""
import argparse
import json
import pathlib
import struct


def unpack(packed, folder):
    """Writes the folder."""
    manifest = json.loads((packed / "manifest.json").read_text())
    for path, content in manifest["files"].items():
        to = folder / plain(path, 2)
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_text(content if isinstance(content, str) else json.dumps(content, indent=2) + "\n")
    shards = [packed / plain(shard["file"], 1) for shard in manifest["shards"]]
    components = {}
    for name, tensor in manifest["tensors"].items():
        if "scales" in tensor:
            raise SystemExit(f"{name} is quantised: unpack a model in f16, bf16 or f32")
        component, _, parameter = plain(name, 1).partition(".")
        components.setdefault(component, {})[parameter] = tensor
    for component, tensors in components.items():
        name = "model" if component.startswith("text_encoder") else "diffusion_pytorch_model"
        write(folder / component / f"{name}.safetensors", tensors, shards)


def plain(path, most):
    """The path, if it is one of a few plain names: a manifest comes from a stranger."""
    parts = path.split("/")
    if len(parts) > most or any(part in ("", ".", "..") or set(part) & set("\\:\0") for part in parts):
        raise SystemExit(f"{path!r} is not accepted as the path of a file")
    return path


def write(path, tensors, shards):
    """One component as a safetensors file."""
    table, end = {}, 0
    for name, tensor in tensors.items():
        start, end = end, end + sum(piece["bytes"] for piece in tensor["pieces"])
        table[name] = {"dtype": tensor["dtype"], "shape": tensor["shape"], "data_offsets": [start, end]}
    header = json.dumps(table).encode()
    header += b" " * (-len(header) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        for tensor in tensors.values():
            for piece in tensor["pieces"]:
                with open(shards[piece["shard"]], "rb") as shard:
                    shard.seek(piece["offset"])
                    file.write(shard.read(piece["bytes"]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("packed", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    arguments = parser.parse_args()
    unpack(arguments.packed, arguments.folder)
