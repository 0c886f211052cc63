"""What every subject shares: seeds, random weights, the writer of a golden file, and what the reference's rounding costs."""
import contextlib
import copy
import hashlib
import json
import math
import pathlib
import re
import sys

import torch
from safetensors.torch import save_file

PROMPTS = [
    "a red circle above a blue square on a yellow background",
    "",
    "A photograph of an astronaut riding a horse, highly detailed, 4k!",
    "naïve café — ünïcödé  test:  don't (stop) it's <b>we've</b> 日本 🙂 #42",
    "a " * 120,  # more than 77 tokens: cut off
]
PROMPT, NEGATIVE = PROMPTS[0], "blurry, low quality"

HEIGHT, WIDTH = 64, 96  # pixels; not square, so that a swapped axis shows
LATENT = (1, 4, HEIGHT // 8, WIDTH // 8)

BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}


def generator(seed):
    return torch.Generator("cpu").manual_seed(int(seed))


def randn(seed, *shape):
    return torch.randn(shape, generator=generator(seed))


def name_seed(*parts):
    """A seed of its own for every name, the same on every machine."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, parts)).encode()).digest()[:4], "little")


def round_to_f16(tensor):
    return tensor.half().float()


def randomise(model, seed, sharpness=3.0):
    """Random weights that make a mistake visible.

    Norm gains lie away from one and biases away from zero, attention is far from uniform (`sharpness` scales its logits),
    and nothing is initialised to zero. Values are rounded to f16: a file of halves then holds exactly this network.
    """
    for name, parameter in sorted(model.named_parameters()):
        rng = generator(name_seed(seed, name))
        values = torch.randn(parameter.shape, generator=rng)
        if parameter.ndim <= 1:
            is_norm = re.search(r"norm|\.ln", name) is not None
            if parameter.ndim:
                values = values * (0.2 if is_norm else 0.1)
            if is_norm and name.endswith("weight"):
                values = values + 1.0
        elif "_embedding." in name and parameter.ndim == 2 and "time_" not in name and "add_" not in name:
            # embeddings take their generator's second draw; they are no product, so the fan-in does not matter
            values = torch.randn(parameter.shape, generator=rng) * (0.5 if "token" in name else 0.2)
        else:
            values = values / math.sqrt(parameter[0].numel())
            if re.search(r"(to_q|to_k|q_proj|k_proj|query|key)\.weight$", name):
                values = values * math.sqrt(sharpness)
        parameter.data.copy_(round_to_f16(values))
    return model.eval()


def rescale(parameter, factor):
    parameter.data.copy_(round_to_f16((parameter.data.double() * factor).float()))


def in_double(value):
    """A tensor or a network in f64; whole numbers stay as they are, containers are followed."""
    if isinstance(value, dict):
        return {k: in_double(v) for k, v in value.items()}
    if torch.is_tensor(value):
        return value.double() if value.is_floating_point() else value
    return copy.deepcopy(value).double() if isinstance(value, torch.nn.Module) else value


def deviation(compute, model, *inputs):
    """The standard deviation of `compute(model, *inputs)`, in f64: weights scaled by it are the same on every machine.

    In f32 the order of the sums, which depends on the processor, would flip a weight's rounding to f16 now and then.
    """
    return float(compute(in_double(model), *map(in_double, inputs)).std())


def rounding_noise(compute, model, *inputs):
    """max |f32 - f64| of `compute(model, *inputs)`: the error that correct f32 code shows by itself."""
    def as_list(x):
        return list(x) if isinstance(x, (tuple, list)) else [x]

    single = as_list(compute(model, *inputs))
    exact = as_list(compute(in_double(model), *map(in_double, inputs)))
    return max(float((a.double() - b.double()).abs().max()) for a, b in zip(single, exact))


def to_u8(image):
    """[-1, 1] -> bytes as diffusers rounds them: half to even."""
    return ((image / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)


def initial_image():
    """A picture of noise for image to image, already rounded to bytes."""
    return ((randn(62, 1, 3, HEIGHT, WIDTH) * 0.25 + 0.5).clamp(0, 1) * 255).round() / 255


def inpaint_mask():
    mask = torch.zeros(1, 1, HEIGHT, WIDTH)
    mask[:, :, 16:48, 24:72] = 1
    return mask


def finite(value):
    """JSON knows no infinity and no NaN: they are written as strings."""
    if isinstance(value, dict):
        return {str(k): finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(v) for v in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


class Golden:
    """A file of named tensors and the notes beside it: `golden/NAME.safetensors`, `golden/NAME.json`."""

    def __init__(self, out, name):
        self.folder, self.name = pathlib.Path(out) / "golden", name
        self.tensors, self.notes = {}, {"kind": name, "cases": {}}

    def put(self, key, tensor):
        tensor = tensor.detach()
        tensor = tensor.float() if tensor.dtype == torch.float64 else tensor
        if torch.isnan(tensor.float()).any():
            raise ValueError(f"{self.name}: {key} is not a number")
        self.tensors[key] = tensor.contiguous().clone()

    def case(self, name, **facts):
        self.notes["cases"].setdefault(name, {}).update(facts)

    def save(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{self.name}.safetensors"
        if self.tensors:
            save_file(self.tensors, path)
        text = json.dumps(finite(self.notes), ensure_ascii=False, default=str, allow_nan=False)
        (self.folder / f"{self.name}.json").write_text(text, encoding="utf-8")
        print(f"  {self.name}: {len(self.tensors)} tensors")


@contextlib.contextmanager
def recorded_noise(draws):
    """Keeps a copy of every noise tensor that a scheduler of diffusers draws."""
    def keep(function):
        def recording(*args, **kwargs):
            result = function(*args, **kwargs)
            draws.append(result.detach().float().clone())
            return result
        return recording

    from diffusers.schedulers.scheduling_dpmsolver_sde import BrownianTreeNoiseSampler
    places = [(module, "randn_tensor") for name, module in list(sys.modules.items())
              if name.startswith("diffusers.schedulers.") and hasattr(module, "randn_tensor")]
    places.append((BrownianTreeNoiseSampler, "__call__"))
    originals = [(place, name, getattr(place, name)) for place, name in places]
    for place, name, original in originals:
        setattr(place, name, keep(original))
    try:
        yield draws
    finally:
        for place, name, original in originals:
            setattr(place, name, original)


def scheduler_facts(scheduler):
    config = {k: v for k, v in scheduler.config.items()
              if not k.startswith("_") and v is not None or k == "prediction_type"}
    return {"class": type(scheduler).__name__, "config": config}
