"""torch's CPU generator: what a seed gives, in every way that a program asks for noise."""
import torch

from .common import Golden, generator

SEEDS = (0, 1, 42, 1234, 2**32 + 5, 2**63 - 1)
LENGTHS = (1, 2, 3, 7, 15, 16, 17, 31, 32, 33, 100, 256, 1000)  # 16 and its multiples are the edges of torch's blocks
SEQUENCE = [3, 16, 1, 40, 2, 5, 17]  # one generator, short and long calls: the cached second normal survives


def make(out):
    golden = Golden(out, "rng")
    for seed in SEEDS:
        for length in LENGTHS:
            golden.put(f"randn/{seed}/{length}", torch.randn(length, generator=generator(seed)))
        golden.put(f"rand/{seed}/20", torch.rand(20, generator=generator(seed)))
        golden.put(f"randn64/{seed}/20", torch.randn(20, dtype=torch.float64, generator=generator(seed)))
        golden.put(f"randint/{seed}/20", torch.randint(0, 1000, (20,), generator=generator(seed)))
        golden.put(f"randperm/{seed}/20", torch.randperm(20, generator=generator(seed)))
    one = generator(9)
    for i, length in enumerate(SEQUENCE):
        golden.put(f"sequence/{i}", torch.randn(length, generator=one))
    golden.put("latent_64x64_seed1234", torch.randn(1, 4, 64, 64, generator=generator(1234)))
    for name, dtype in (("f16", torch.float16), ("bf16", torch.bfloat16)):
        golden.put(f"randn_{name}/1234/40", torch.randn(40, dtype=dtype, generator=generator(1234)).float())
    golden.notes.update(sequence=SEQUENCE, cpu_capability=torch.backends.cpu.get_cpu_capability())
    golden.save()
