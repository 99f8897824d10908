"""Whether an adapter and its merged copy say the same: loads both, compares logits. What may differ is the contract's."""

from __future__ import annotations

from pathlib import Path

PROBE = "The river was high, and the forecast was higher. What is the weather in Hannibal tomorrow?"


def merge_difference(base: Path, adapter: Path) -> float:
    """Largest absolute difference of logits on a short probe, adapter on against merged, in fp32."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from resources.tokenizer import load_tokenizer

    ids = torch.tensor([load_tokenizer(base).encode(PROBE).ids])
    model = AutoModelForCausalLM.from_pretrained(base, local_files_only=True, dtype=torch.float32)
    tuned = PeftModel.from_pretrained(model, str(adapter)).eval()
    with torch.inference_mode():
        apart = tuned(input_ids=ids).logits
        merged = tuned.merge_and_unload()(input_ids=ids).logits
    return float((apart - merged).abs().max())
