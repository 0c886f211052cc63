"""The UNet of the model in the box as an ONNX file, with one input and PyTorch's answer to it.

`python export_unet.py PACKED FOLDER`; needs torch, diffusers, onnx and onnxscript. The call is that of a step with
guidance: two pictures of 128 x 128, each with a prompt.
"""
import argparse
import json
import pathlib
import subprocess
import sys

import torch
from diffusers import UNet2DConditionModel

UNPACK = pathlib.Path(__file__).parents[2] / "tools/demo-model/unpack.py"
NAMES = ["sample", "timestep", "encoder_hidden_states"]


class Plain(torch.nn.Module):
    """The network with tensors in and a tensor out."""

    def __init__(self, unet):
        super().__init__()
        self.unet = unet

    def forward(self, sample, timestep, encoder_hidden_states):
        return self.unet(sample, timestep, encoder_hidden_states, return_dict=False)[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("packed", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    args = parser.parse_args()
    diffusers = args.folder / "diffusers"
    subprocess.run([sys.executable, UNPACK, args.packed, diffusers], check=True)
    unet = UNet2DConditionModel.from_pretrained(diffusers, subfolder="unet", torch_dtype=torch.float32).eval()
    size = unet.config.sample_size
    generator = torch.Generator().manual_seed(0)
    inputs = (
        torch.randn(2, unet.config.in_channels, size, size, generator=generator),
        torch.tensor([500.0]),
        torch.randn(2, 77, unet.config.cross_attention_dim, generator=generator),
    )
    model = Plain(unet)
    with torch.no_grad():
        expected = model(*inputs)
        torch.onnx.export(
            model, inputs, args.folder / "unet.onnx", input_names=NAMES, output_names=["out"], opset_version=18, dynamo=False
        )
    tensors = dict(zip(NAMES, inputs), out=expected)
    described = {}
    for name, tensor in tensors.items():
        (args.folder / f"{name}.bin").write_bytes(tensor.detach().contiguous().numpy().astype("<f4").tobytes())
        described[name] = list(tensor.shape)
    (args.folder / "call.json").write_text(json.dumps(described) + "\n")


if __name__ == "__main__":
    main()
