"""Tiny models of Transformers with random weights, made without the network."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

CLASSES = {0: "cat", 1: "dog", 2: "N/A", 3: "dog", 4: "bird"}
"""As in models that were trained on COCO, a class can lack a name, or share it."""
_VIT: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
}


def make_tiny_model(kind: str, folder: Path) -> Path:
    """Save a model: `detection`, `segmentation`, `classification` or `zero-shot`."""
    import torch

    from aa_functions.transformer_models.loading import import_transformers

    transformers = import_transformers()
    make, spread = _MAKERS[kind]
    generator = torch.Generator().manual_seed(2)
    model, processor = make(transformers)
    for parameter in model.parameters():  # those of a new model give nearly constant outputs
        torch.nn.init.normal_(parameter, std=spread, generator=generator)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _detection(transformers: Any) -> tuple[Any, Any]:
    config = transformers.YolosConfig(
        **_VIT, image_size=[64, 64], num_detection_tokens=12, id2label=CLASSES
    )
    processor = transformers.YolosImageProcessor(size={"shortest_edge": 48, "longest_edge": 64})
    return transformers.YolosForObjectDetection(config), processor


def _classification(transformers: Any) -> tuple[Any, Any]:
    config = transformers.ViTConfig(**_VIT, image_size=32, id2label=CLASSES)
    processor = transformers.ViTImageProcessor(size={"height": 32, "width": 32})
    return transformers.ViTForImageClassification(config), processor


def _segmentation(transformers: Any) -> tuple[Any, Any]:
    backbone = transformers.SwinConfig(
        embed_dim=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 1, 1],
        window_size=4,
        image_size=64,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    config = transformers.Mask2FormerConfig(
        backbone_config=backbone,
        feature_size=32,
        mask_feature_size=32,
        hidden_dim=32,
        encoder_feedforward_dim=16,
        encoder_layers=1,
        decoder_layers=2,
        num_attention_heads=2,
        dim_feedforward=16,
        num_queries=8,
        id2label=CLASSES,
    )
    processor = transformers.Mask2FormerImageProcessor(
        size={"shortest_edge": 64, "longest_edge": 96}, size_divisor=32
    )
    return transformers.Mask2FormerForUniversalSegmentation(config), processor


def _zero_shot(transformers: Any) -> tuple[Any, Any]:
    letters = [*string.ascii_lowercase, *(letter + "</w>" for letter in string.ascii_lowercase)]
    words = [*letters, "<|startoftext|>", "<|endoftext|>"]
    tokenizer = transformers.CLIPTokenizer(
        vocab={word: number for number, word in enumerate(words)}, merges=[], model_max_length=16
    )
    config = transformers.OwlViTConfig(
        text_config={
            **_VIT,
            "vocab_size": len(words),
            "max_position_embeddings": 16,
            "eos_token_id": len(words) - 1,
        },
        vision_config={**_VIT, "image_size": 64, "patch_size": 16},
        projection_dim=16,
    )
    size = {"height": 64, "width": 64}
    processor = transformers.OwlViTProcessor(
        image_processor=transformers.OwlViTImageProcessor(size=size, crop_size=size),
        tokenizer=tokenizer,
    )
    return transformers.OwlViTForObjectDetection(config), processor


_MAKERS = {
    "detection": (_detection, 1.5),
    "segmentation": (_segmentation, 1.0),
    "classification": (_classification, 0.3),
    "zero-shot": (_zero_shot, 0.5),
}
"""With the spread of the weights, such that something is detected."""
