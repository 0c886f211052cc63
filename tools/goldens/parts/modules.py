"""Inputs and outputs of single networks: text encoders, UNets, autoencoders."""
import torch

from . import networks, tokenizer
from .common import HEIGHT, LATENT, PROMPTS, WIDTH, Golden, generator, randn, rounding_noise


def keep_outputs(golden, prefix, model, names):
    """Hooks that store the first item of each named block's output; call `.remove()` on them afterwards."""
    def keeper(name):
        def keep(_module, _inputs, output):
            output = output[0] if isinstance(output, (tuple, list)) else output
            golden.put(f"{prefix}/{name}", getattr(output, "sample", output)[:1])
        return keep
    return [model.get_submodule(name).register_forward_hook(keeper(name)) for name in names]


def remove(hooks):
    for hook in hooks:
        hook.remove()


def text_encoder(golden, prefix, model, tokens):
    ids = tokenizer.ids(tokens, PROMPTS)
    out = model(ids, output_hidden_states=True)
    golden.put(f"{prefix}/input_ids", ids)
    projected = getattr(out, "text_embeds", None)
    if projected is not None:
        golden.put(f"{prefix}/text_embeds", projected)
    else:
        golden.put(f"{prefix}/pooler_output", out.pooler_output)
    golden.put(f"{prefix}/last_hidden_state", out.last_hidden_state)
    count = len(out.hidden_states)
    for i in (0, 1, count - 2, count - 1):
        golden.put(f"{prefix}/hidden_states.{i}", out.hidden_states[i][:1])
    golden.case(prefix, prompts=PROMPTS,
                hidden_states="first prompt only; index 0 is the embedding, the last is before final_layer_norm",
                fp64_noise=rounding_noise(lambda m, i: m(i).last_hidden_state, model, ids))


def unet(golden, prefix, model, extra=None):
    """`extra` goes to the network as it is: SDXL's added_cond_kwargs."""
    extra = extra or {}
    channels, context_size = model.config.in_channels, model.config.cross_attention_dim
    _, _, height, width = LATENT
    x, context = randn(21, 2, channels, height, width), randn(22, 2, 77, context_size)

    def compute(m, x, t, context, items=slice(None)):
        added = {k: {q: v[items].to(x.dtype) for q, v in group.items()} for k, group in extra.items()}
        return m(x, t, context, **added).sample

    golden.put(f"{prefix}/x", x)
    golden.put(f"{prefix}/ctx", context)
    for group in extra.values():
        for name, tensor in group.items():
            golden.put(f"{prefix}/{name}", tensor)
    blocks = ["conv_in", "time_embedding", "mid_block"]
    blocks += [f"down_blocks.{i}" for i in range(len(model.down_blocks))]
    blocks += [f"up_blocks.{i}" for i in range(len(model.up_blocks))]
    if getattr(model, "add_embedding", None) is not None:
        blocks.append("add_embedding")
    hooks = keep_outputs(golden, f"{prefix}/act", model, blocks)
    golden.put(f"{prefix}/out_t981", compute(model, x, 981, context))
    remove(hooks)
    golden.put(f"{prefix}/out_t1", compute(model, x, 1, context))
    per_item = torch.tensor([999, 37])
    golden.put(f"{prefix}/t_batch", per_item)
    golden.put(f"{prefix}/out_t_batch", compute(model, x, per_item, context))
    golden.put(f"{prefix}/out_t_float", compute(model, x, torch.tensor(431.6270), context))
    golden.put(f"{prefix}/out_short_ctx", compute(model, x, 981, context[:, :7]))
    if channels == 4:  # an odd size: the way up must take the skip connection's size
        odd = randn(23, 1, channels, height + 1, width + 3)
        golden.put(f"{prefix}/x_odd", odd)
        golden.put(f"{prefix}/out_odd", compute(model, odd, 500, context[:1], items=slice(1)))
    golden.case(prefix, what="unet(x, t, ctx): t = 981, 1, per-item [999,37], 431.627, ctx[:, :7]; act/* are block outputs at t=981",
                params=sum(p.numel() for p in model.parameters()), fp64_noise=rounding_noise(compute, model, x, 981, context))


def vae(golden, prefix, model):
    image = (randn(11, 1, 3, HEIGHT, WIDTH) * 0.5).clamp(-1, 1)
    latent = randn(12, *LATENT) / model.config.scaling_factor
    hooks = keep_outputs(golden, f"{prefix}/enc", model, ["encoder.down_blocks.0", "encoder.mid_block", "encoder"])
    hooks += keep_outputs(golden, f"{prefix}/dec", model, ["decoder.conv_in", "decoder.mid_block"])
    encoded = model.encode(image).latent_dist
    decoded = model.decode(latent).sample
    remove(hooks)
    noise = torch.randn(encoded.mean.shape, generator=generator(77))
    sample = encoded.mean + encoded.std * noise
    if not torch.equal(encoded.sample(generator(77)), sample):
        raise ValueError("the posterior's sample is not mean + std * noise")
    tensors = {"image": image, "mean": encoded.mean, "logvar": encoded.logvar, "sample_noise": noise, "sample": sample,
               "latent": latent, "decoded": decoded}
    for name, tensor in tensors.items():
        golden.put(f"{prefix}/{name}", tensor)
    golden.case(prefix, what="encode(image) -> mean, logvar (clamped to [-30,20]); sample = mean + exp(0.5*logvar)*sample_noise; "
                             "decode(latent) with latent NOT multiplied by scaling_factor",
                sample_noise="torch.randn(mean.shape, Generator('cpu').manual_seed(77))",
                fp64_noise_encode=rounding_noise(lambda m, a: m.encode(a).latent_dist.mean, model, image),
                fp64_noise_decode=rounding_noise(lambda m, a: m.decode(a).sample, model, latent))


def make_taesd(out):
    model = networks.tiny_vae()
    networks.save_half(model, f"{out}/models/taesd")
    golden = Golden(out, "taesd")
    image, latent = (randn(11, 1, 3, HEIGHT, WIDTH) * 0.5).clamp(-1, 1), randn(12, *LATENT)
    encode, decode = lambda m, a: m.encode(a).latents, lambda m, a: m.decode(a).sample
    tensors = {"image": image, "encoded": encode(model, image), "latent": latent, "decoded": decode(model, latent)}
    for name, tensor in tensors.items():
        golden.put(name, tensor)
    golden.case("taesd", fp64_noise_encode=rounding_noise(encode, model, image), fp64_noise_decode=rounding_noise(decode, model, latent),
                config={k: v for k, v in model.config.items() if not k.startswith("_")})
    golden.save()
