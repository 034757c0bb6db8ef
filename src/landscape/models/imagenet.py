"""Named ImageNet networks by short names, each with the recipe that trained it.

Recipes are the main confound between families: compare networks of one recipe, or one network
under several (``resnet50``, ``resnet50_v1``, ``resnet50_v2``; ``vit_s``, ``vit_s_21k``). Inputs are
of the side in pixels at training, also where the authors tested at a larger one.
"""

from typing import Any

from landscape.models.card import Family, Named

HALF = (0.5, 0.5, 0.5)
FACTS: dict[str, Any] = {
    "data": "imagenet",
    "size": 224,
    "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
    "interpolation": "bicubic",
    "crop": 0.875,
    "weight_decay": 0.0,
    "licence": "apache-2.0",
}
#: commits of the repositories for torch hub; what runs here is what was read there
DEIT = "facebookresearch/deit:7e160fe43f0252d17191b71cbb5826254114ea5b"
DINOV2 = "facebookresearch/dinov2:7764ea0f912e53c92e82eb78a2a1631e92725fc8"

_DEIT = "300 epochs of AdamW, RandAugment, mixup, cutmix, erasing, smoothing, stochastic depth"
_AUGREG = "300 epochs of ImageNet-21k with RandAugment and mixup, then fine-tuned on ImageNet-1k"


def _hub(name: str, entry: str, parameters: int, urls: list[str], **facts: Any) -> Named:
    files = tuple(f"https://dl.fbaipublicfiles.com/{url}" for url in urls)
    told = FACTS | {"family": "msa", "licence": "Apache-2.0"} | facts
    return Named(name=name, spec=f"hub:{entry}", parameters=parameters, urls=files, **told)


def _timm(name: str, family: Family, network: str, parameters: int, **facts: Any) -> Named:
    return Named(
        name=name,
        family=family,
        spec=f"timm:{network}",
        parameters=parameters,
        **(
            {"urls": (f"https://huggingface.co/timm/{network}/resolve/main/model.safetensors",)}
            | FACTS
            | facts
        ),
    )


def _torchvision(
    name: str, family: Family, network: str, file: str, parameters: int, **facts: Any
) -> Named:
    return Named(
        name=name,
        family=family,
        spec=f"torchvision:{network}",
        parameters=parameters,
        urls=(f"https://download.pytorch.org/models/{file}",),
        **(FACTS | {"licence": "BSD-3-Clause"} | facts),
    )


CARDS = [
    _timm(
        "resnet50",
        "conv",
        "resnet50.a1_in1k",
        25_557_032,
        recipe="A1",
        source="He et al. 2016; A1 of Wightman et al. 2021: 600 epochs of LAMB, binary "
        "cross-entropy, RandAugment, mixup, cutmix, repeated augmentation, stochastic depth",
        crop=0.95,
        weight_decay=0.01,
    ),
    _torchvision(
        "resnet50_v1",
        "conv",
        "resnet50.IMAGENET1K_V1",
        "resnet50-0676ba61.pth",
        25_557_032,
        recipe="V1",
        source="He et al. 2016; torchvision: 90 epochs of SGD, crops and flips only",
        interpolation="bilinear",
        weight_decay=1e-4,
    ),
    _torchvision(
        "resnet50_v2",
        "conv",
        "resnet50.IMAGENET1K_V2",
        "resnet50-11ad3fa6.pth",
        25_557_032,
        recipe="V2",
        source="He et al. 2016; torchvision: 600 epochs of SGD, TrivialAugment, mixup, cutmix, "
        "erasing, smoothing, repeated augmentation, moving average of weights",
        interpolation="bilinear",
        crop=224 / 232,
        weight_decay=2e-5,
    ),
    _timm(
        "convnext_t",
        "conv",
        "convnext_tiny.fb_in1k",
        28_589_128,
        recipe="DeiT-like",
        source=f"Liu et al. 2022 (ConvNeXt); {_DEIT}, moving average of weights",
        weight_decay=0.05,
    ),
    _hub(
        "vit_s",
        f"{DEIT}/deit_small_patch16_224",
        22_050_664,
        ["deit/deit_small_patch16_224-cd65a155.pth"],
        recipe="DeiT",
        source=f"Touvron et al. 2021 (DeiT-S without distillation); {_DEIT}",
        weight_decay=0.05,
    ),
    *(
        _timm(
            f"deit_{short}",
            "msa",
            f"deit_{size}_patch16_224.fb_in1k",
            parameters,
            recipe="DeiT",
            source=f"Touvron et al. 2021 (without distillation); {_DEIT}",
            crop=0.9,
            weight_decay=0.05,
        )
        for short, size, parameters in (
            ("ti", "tiny", 5_717_416),
            ("s", "small", 22_050_664),
            ("b", "base", 86_567_656),
        )
    ),
    _timm(
        "vit_s_21k",
        "msa",
        "vit_small_patch16_224.augreg_in21k_ft_in1k",
        22_050_664,
        recipe="AugReg 21k",
        source=f"Dosovitskiy et al. 2021; AugReg of Steiner et al. 2021: {_AUGREG}",
        mean=HALF,
        std=HALF,
        crop=0.9,
    ),
    _timm(
        "vit_b",
        "msa",
        "vit_base_patch16_224.augreg_in1k",
        86_567_656,
        recipe="AugReg",
        source="Dosovitskiy et al. 2021; AugReg of Steiner et al. 2021: 300 epochs of ImageNet-1k "
        "with RandAugment, mixup, dropout and stochastic depth",
        mean=HALF,
        std=HALF,
        crop=0.9,
    ),
    _timm(
        "swin_t",
        "msa",
        "swin_tiny_patch4_window7_224.ms_in1k",
        28_288_354,
        recipe="DeiT-like",
        source=f"Liu et al. 2021 (Swin); {_DEIT}",
        crop=0.9,
        weight_decay=0.05,
        licence="mit",
    ),
    _timm(
        "pit_s",
        "msa",
        "pit_s_224.in1k",
        23_461_912,
        recipe="DeiT-like",
        source=f"Heo et al. 2021 (PiT, without distillation); {_DEIT}",
        crop=0.9,
        weight_decay=0.05,
    ),
    _timm(
        "levit_256",
        "msa",
        "levit_256.fb_dist_in1k",
        18_893_876,
        recipe="distilled",
        source="Graham et al. 2021 (LeViT: four convolutions, then attention); 1000 epochs of the "
        "DeiT recipe, distilled from a RegNetY-16GF",
        crop=0.9,
        weight_decay=0.025,
    ),
    _timm(
        "crossvit_15",
        "msa",
        "crossvit_15_dagger_240.in1k",
        28_209_008,
        recipe="DeiT-like",
        source=f"Chen et al. 2021 (CrossViT-15, patches by three convolutions); {_DEIT}",
        size=240,
    ),
    _hub(
        "dinov2_s",
        f"{DINOV2}/dinov2_vits14_lc",
        23_977_576,
        [
            "dinov2/dinov2_vits14/dinov2_vits14_pretrain.pth",
            "dinov2/dinov2_vits14/dinov2_vits14_linear4_head.pth",
        ],
        recipe="DINOv2",
        source="Oquab et al. 2024 (DINOv2); self-supervised on LVD-142M, distilled from a ViT-g; a "
        "linear head on four layers, trained on ImageNet-1k, gives the classes",
    ),
    _torchvision(
        "maxvit_t",
        "hybrid",
        "maxvit_t.IMAGENET1K_V1",
        "maxvit_t-bc5ab103.pth",
        30_919_624,
        recipe="V1",
        source="Tu et al. 2022 (MaxViT); torchvision: 400 epochs of AdamW, TrivialAugment, mixup, "
        "smoothing, moving average of weights",
        crop=1.0,
        weight_decay=0.05,
    ),
    _timm(
        "vit_r26_s",
        "hybrid",
        "vit_small_r26_s32_224.augreg_in21k_ft_in1k",
        36_431_912,
        recipe="AugReg 21k",
        source="Dosovitskiy et al. 2021 (ResNet-26 stages, then ViT-S); AugReg of Steiner et al. "
        f"2021: {_AUGREG}",
        mean=HALF,
        std=HALF,
        crop=0.9,
    ),
    _timm(
        "visformer_s",
        "hybrid",
        "visformer_small.in1k",
        40_219_592,
        recipe="DeiT-like",
        source=f"Chen et al. 2021 (Visformer: convolutions, then attention); {_DEIT}",
        crop=0.9,
    ),
    _timm(
        "mobilevit_s",
        "hybrid",
        "mobilevit_s.cvnets_in1k",
        5_578_632,
        recipe="CVNets",
        source="Mehta & Rastegari 2022 (MobileViT); 300 epochs of AdamW, crops and flips of many "
        "sizes, smoothing, moving average of weights",
        size=256,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        crop=0.9,
        weight_decay=0.01,
        licence="cvnets-license",
    ),
    _timm(
        "mixer_s",
        "mlp",
        "mixer_s16_224",
        18_528_264,
        recipe="untrained",
        source="Tolstikhin et al. 2021 (MLP-Mixer-S/16); nobody published weights of it",
        mean=HALF,
        std=HALF,
        urls=(),
    ),
    _timm(
        "mixer_b",
        "mlp",
        "mixer_b16_224.goog_in21k_ft_in1k",
        59_880_472,
        recipe="21k",
        source="Tolstikhin et al. 2021 (MLP-Mixer); ImageNet-21k with RandAugment, mixup, dropout "
        "and stochastic depth, then fine-tuned on ImageNet-1k",
        mean=HALF,
        std=HALF,
    ),
    _timm(
        "resmlp_s",
        "mlp",
        "resmlp_12_224.fb_in1k",
        15_350_872,
        recipe="DeiT-like",
        source="Touvron et al. 2022 (ResMLP-S12); 400 epochs of LAMB with the augmentation of DeiT",
        weight_decay=0.2,
    ),
]
