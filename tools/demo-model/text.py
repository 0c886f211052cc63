"""Stage 2: the text encoder, taught what captions say before it ever sees a picture.

A linear head per fact reads the encoder's output at and after the end token. With the facts laid out there,
the UNet need not learn language and drawing at once. The heads are not shipped.
"""

import numpy as np
import torch
import torch.nn.functional as F
from transformers import CLIPTextConfig, CLIPTextModel

import scenes
import tokens
from common import DEVICE, Average, Log, Optimiser, load, resume, save


def new_model(vocab):
    end = vocab[tokens.EOT]
    return CLIPTextModel(CLIPTextConfig(
        vocab_size=len(vocab), hidden_size=128, intermediate_size=384, num_hidden_layers=3, num_attention_heads=4, max_position_embeddings=tokens.LENGTH,
        hidden_act="quick_gelu", bos_token_id=vocab[tokens.SOT], eos_token_id=end, pad_token_id=end, projection_dim=128))


def train(folder, steps, batch=128, seed=2):
    log, path = Log("text"), f"{folder}/text.pt"
    torch.manual_seed(seed)
    state = load(path)
    if not state:
        rng = np.random.default_rng(seed)
        vocab, pairs = tokens.train(scenes.sample(rng).caption for _ in range(30000))
        state = dict(vocab=vocab, pairs=pairs, step=0)
    vocab, pairs = state["vocab"], state["pairs"]
    tok, model = tokens.encoder(vocab, pairs), new_model(vocab)
    sizes = [len(v) + 1 for v in scenes.FACTS.values()]
    head = torch.nn.Linear(128, sum(sizes))
    both = torch.nn.ModuleDict(dict(model=model, head=head)).to(DEVICE)
    opt, ema = Optimiser(both, 0.01, 2e-3), Average(both, 0.995)
    if state["step"]:
        resume(state, both, opt, ema)
    log(f"{sum(p.numel() for p in model.parameters())} parameters, {len(vocab)} tokens")
    right = seen = 0
    for step in range(state["step"], steps):
        rng = np.random.default_rng([seed, step])
        batch_scenes = [scenes.sample(rng) for _ in range(batch)]
        rows, ends = tokens.encode(tok, vocab, [s.caption for s in batch_scenes])
        # Padding costs as much as words: only now and then all 77 places.
        length = tokens.LENGTH if step % 4 == 3 else max(ends) + 1
        hidden = model(input_ids=torch.tensor(rows, device=DEVICE)[:, :length]).last_hidden_state
        rows_at = torch.arange(batch, device=DEVICE)
        ends = torch.tensor(ends, device=DEVICE)
        later = ends + (torch.rand(batch, device=DEVICE) * (length - ends)).long()
        facts = torch.tensor([scenes.fact_ids(s) for s in batch_scenes], device=DEVICE)
        value = 0.0
        for at in (ends, later):
            for i, logits in enumerate(head(hidden[rows_at, at]).split(sizes, 1)):
                value = value + F.cross_entropy(logits, facts[:, i])
                right += (logits.argmax(1) == facts[:, i]).sum().item(); seen += batch
        value.backward()
        opt.step(step / steps)
        ema.update(both)
        if step % 50 == 49:
            log(f"step {step + 1}: loss {value.item():.3f}, facts right {right / seen:.4f}")
            right = seen = 0
        if step % 200 == 199 or step == steps - 1:
            save(path, vocab=vocab, pairs=pairs, model=both.state_dict(), opt=opt.state_dict(), ema=ema.values, step=step + 1)


def trained(folder):
    """The tokenizer's tables, a function from captions to embeddings [n, 77, 128], and the model."""
    state = load(f"{folder}/text.pt")
    vocab, pairs = state["vocab"], state["pairs"]
    tok, model = tokens.encoder(vocab, pairs), new_model(vocab)
    model.load_state_dict({k.removeprefix("model."): v for k, v in state["ema"].items() if k.startswith("model.")})
    model.eval().requires_grad_(False)

    def embed(captions):
        with torch.no_grad():
            return model(input_ids=torch.tensor(tokens.encode(tok, vocab, captions)[0])).last_hidden_state

    return vocab, pairs, embed, model
