"""What every stage of the training shares: the optimiser, averaged weights, checkpoints that a stopped run resumes from."""
import os
import time

import torch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def orthogonalise(g, steps=5):
    """Newton-Schulz iteration towards the nearest semi-orthogonal matrix (Muon, Jordan et al. 2024)."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = g / (g.norm() + 1e-7)
    flip = x.shape[0] > x.shape[1]
    x = x.T if flip else x
    for _ in range(steps):
        s = x @ x.T
        x = a * x + (b * s + c * s @ s) @ x
    return x.T if flip else x


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised per matrix; convolutions are matrices of [out, in * kh * kw]."""

    def __init__(self, params, lr, momentum=0.95, decay=0.01):
        super().__init__(params, dict(lr=lr, momentum=momentum, decay=decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                buf = self.state[p].setdefault("momentum", torch.zeros_like(p))
                buf.lerp_(p.grad, 1 - group["momentum"])
                g = torch.lerp(p.grad, buf, group["momentum"])
                o = orthogonalise(g.reshape(len(g), -1)).reshape(p.shape)
                scale = max(1.0, p.shape[0] / (p.numel() / p.shape[0])) ** 0.5
                p.mul_(1 - group["lr"] * group["decay"]).add_(o, alpha=-group["lr"] * scale)


class Optimiser:
    """Muon for hidden matrices, AdamW for the rest, one learning-rate curve: warm-up, plateau, linear to zero."""

    def __init__(self, model, muon_lr, adam_lr, adam_only=("embed", "conv_in", "conv_out", "head")):
        hidden, rest = [], []
        for name, p in model.named_parameters():
            (hidden if p.ndim >= 2 and not any(a in name for a in adam_only) else rest).append(p)
        self.parts = [Muon(hidden, muon_lr), torch.optim.AdamW(rest, adam_lr, betas=(0.9, 0.99), weight_decay=0.0)]
        self.base = [muon_lr, adam_lr]
        self.params = hidden + rest

    def step(self, share, cool=0.35, warm=0.01):
        """`share`: how much of the run is done, in [0, 1]."""
        k = min(1.0, share / warm + 0.02, (1 - share) / cool + 1e-3)
        torch.nn.utils.clip_grad_norm_(self.params, 1.0)
        for part, lr in zip(self.parts, self.base):
            for g in part.param_groups:
                g["lr"] = lr * k
            part.step()
            part.zero_grad(set_to_none=True)

    def state_dict(self):
        return [p.state_dict() for p in self.parts]

    def load_state_dict(self, state):
        for p, s in zip(self.parts, state):
            p.load_state_dict(s)


class Average:
    """An exponential moving average of a model's weights, in f32."""

    def __init__(self, model, decay):
        self.decay, self.seen = decay, 0
        self.values = {k: v.detach().clone() for k, v in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model):
        self.seen += 1
        d = min(self.decay, (1 + self.seen) / (10 + self.seen))
        for k, v in model.state_dict().items():
            self.values[k].lerp_(v, 1 - d)


def save(path, **state):
    """Writes a checkpoint so that a killed process leaves the old one or the new one, never half of one."""
    torch.save(state, path + ".part")
    os.replace(path + ".part", path)


def load(path):
    return torch.load(path, map_location="cpu", weights_only=False) if os.path.exists(path) else None


def resume(state, model, opt, average):
    """Puts a checkpoint's state into place and returns the step it was written after."""
    model.load_state_dict(state["model"])
    if "opt" in state:
        opt.load_state_dict(state["opt"])
    average.values = {k: v.to(DEVICE) for k, v in state["ema"].items()}
    average.seen = state["step"]
    return state["step"]


class Log:
    def __init__(self, name):
        self.name, self.start = name, time.time()

    def __call__(self, text):
        print(f"[{self.name} {time.time() - self.start:7.0f}s] {text}", flush=True)
