"""Make a tiny Q-Align checkpoint with random weights, in the files and formats of q-future/one-align.

For scripts in processes of their own: importing pyiqa's Q-Align changes transformers for the whole process.

Scores of a random language model hardly differ between pictures. So the place where a picture passes into the words is
scaled up (`INFLUENCE`), and the head's rows of the five levels see only in what made pictures differ (`calibrate`).
"""

from __future__ import annotations

import io
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

CONFIG = {
    "architectures": ["MPLUGOwl2LlamaForCausalLM"],
    "model_type": "mplug_owl2",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-5,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "tie_word_embeddings": False,
    "use_cache": True,
    "visual_config": {
        "visual_model": {
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 448,
            "patch_size": 56,  # 14 in the real one: 1025 tokens take a second in float16 on a CPU
            "hidden_act": "quick_gelu",
            "layer_norm_eps": 1e-6,
        },
        "visual_abstractor": {
            "hidden_size": 32,
            "encoder_hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_learnable_queries": 8,
            "grid_size": 8,
        },
    },
}
PREPROCESSOR = {
    "crop_size": 448,
    "do_center_crop": True,
    "do_normalize": True,
    "do_resize": True,
    "feature_extractor_type": "CLIPFeatureExtractor",
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "resample": 3,
    "size": 448,
}
TOKENIZER = {
    "add_bos_token": True,
    "add_eos_token": False,
    "bos_token": "<s>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "legacy": False,
    "tokenizer_class": "LlamaTokenizer",
}
SENTENCES = (
    "USER: How would you rate the quality of this image?",
    "USER: How would you rate the aesthetics of this image?",
    "ASSISTANT: The quality of the image is excellent",
    "ASSISTANT: The aesthetics of the image is good",
    "fair or poor or bad aesthetic picture of people who talk",
)
INFLUENCE = 30.0
DEVIATION = 1.5
"""Of each level's logit over the made pictures."""


def write_tokenizer(folder: Path) -> int:
    """Train a byte-pair model with byte fallback, as LLaMA's is; returns the number of pieces."""
    import sentencepiece

    content = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES * 20),
        model_writer=content,
        model_type="bpe",
        vocab_size=400,
        hard_vocab_limit=False,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        character_coverage=1.0,
        minloglevel=2,
    )
    (folder / "tokenizer.model").write_bytes(content.getvalue())
    (folder / "tokenizer_config.json").write_text(json.dumps(TOKENIZER))
    processor = sentencepiece.SentencePieceProcessor(model_proto=content.getvalue())
    return processor.get_piece_size()


def calibrate(model: Any, tokenizer_file: Path, generator: Any) -> None:
    """Set the head's rows of the levels so that their logits vary about 0 over pictures of waves and noise."""
    import torch

    from benchmark.qalign import prompt
    from benchmark.qalign_model import level_ids, normalise, token_ids

    hidden = []
    model.lm_head.register_forward_pre_hook(lambda _, given: hidden.append(given[0][0, -1].float()))
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:96, :160] / 16
    for index in range(8):
        waves = np.sin(rng.uniform(0, 2, 3) * rows[..., None] + rng.uniform(0, 2, 3) * columns[..., None])
        picture = rng.uniform(40, 215, 3) + 40 * waves + rng.normal(0, 5 * index, (96, 160, 3))
        pixels = normalise(picture.clip(0, 255).astype(np.uint8))
        for word in ("quality", "aesthetics"):
            ids = torch.tensor([token_ids(tokenizer_file, prompt(word))])
            with torch.inference_mode():
                model(ids, images=torch.from_numpy(pixels)[None].half())
    states = torch.stack(hidden)
    mean = states.mean(0) / states.mean(0).norm()
    rows_of_levels = torch.randn(5, len(mean), generator=generator)
    rows_of_levels -= (rows_of_levels @ mean)[:, None] * mean
    spread = (states @ rows_of_levels.T).std(0)
    model.lm_head.weight.data[level_ids(tokenizer_file)] = (
        DEVIATION * rows_of_levels / spread[:, None]
    ).half()


def write_checkpoint(folder: Path, seed: int) -> None:
    """Write all files of the checkpoint into `folder`."""
    folder.mkdir(parents=True)
    config = {**CONFIG, "vocab_size": write_tokenizer(folder)}
    (folder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR))
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "q-future").mkdir()
        (Path(place) / "q-future" / "one-align").symlink_to(folder.resolve())
        os.chdir(
            place
        )  # pyiqa names the checkpoint by its id on the hub; transformers takes a folder of that name

        from benchmark.qalign_model import prepare_packages

        prepare_packages()
        import torch
        from pyiqa.archs.q_align.configuration_mplug_owl2 import MPLUGOwl2Config
        from pyiqa.archs.q_align.modeling_mplug_owl2 import MPLUGOwl2LlamaForCausalLM

        torch.manual_seed(seed)
        model = MPLUGOwl2LlamaForCausalLM(MPLUGOwl2Config(**config))
        os.chdir("/")
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1 or "query" in name or "embed" in name:
            fan_in = parameter[0].numel() if parameter.ndim > 1 else 1
            parameter.data = torch.randn(parameter.shape, generator=generator) / fan_in**0.5
    model.model.visual_abstractor.visual_fc.weight.data *= INFLUENCE
    calibrate(model.half().eval(), folder / "tokenizer.model", generator)
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    names = sorted(state)
    shards = {
        "pytorch_model-00001-of-00002.bin": names[: len(names) // 2],
        "pytorch_model-00002-of-00002.bin": names[len(names) // 2 :],
    }
    for file, keys in shards.items():
        torch.save({key: state[key] for key in keys}, folder / file)
    index = {
        "metadata": {"total_size": sum(value.nbytes for value in state.values())},
        "weight_map": {key: file for file, keys in shards.items() for key in keys},
    }
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    (folder / "config.json").write_text(json.dumps({**config, "torch_dtype": "float16"}))
