"""Weights of timm models in the local Hugging Face cache, and whether the hub can be asked for more."""

from __future__ import annotations

from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from huggingface_hub import constants, try_to_load_from_cache

from petlsparse.errors import Problem, UserError

WEIGHT_FILES = ("model.safetensors", "open_clip_model.safetensors", "pytorch_model.bin", "open_clip_pytorch_model.bin")
TIMEOUT_SECONDS = 5.0


def cached_weights(pretrained_cfg: Mapping[str, Any]) -> Path | None:
    """The weight file of a timm `pretrained_cfg` in the hub cache (HF_HOME); None when it was never downloaded."""
    repo = pretrained_cfg.get("hf_hub_id")
    if not repo:
        return None
    wanted = pretrained_cfg.get("hf_hub_filename")
    for filename in (wanted,) if wanted else WEIGHT_FILES:
        found = try_to_load_from_cache(repo, filename)
        if isinstance(found, str):
            return Path(found)
    return None


def ensure_reachable(name: str, repo: str) -> None:
    """Ask the hub once, briefly, before timm's downloader would retry for tens of seconds.

    Any answer will do: a mirror need not know this page, and some answer only with a token.

    Raises:
        UserError: offline; names the ways to get weights without a network.
    """
    if constants.HF_HUB_OFFLINE:
        raise UserError(not_available(name, repo, "HF_HUB_OFFLINE is set"))
    try:
        with urlopen(Request(f"{constants.ENDPOINT}/{repo}", method="HEAD"), timeout=TIMEOUT_SECONDS):
            return
    except HTTPError:
        return
    except (OSError, HTTPException, ValueError) as error:  # ValueError: an endpoint that is no address
        raise UserError(not_available(name, repo, f"the hub does not answer ({error})")) from error


def not_available(name: str, repo: str, why: str) -> Problem:
    """The problem of weights that are neither cached nor downloadable, with the three local alternatives."""
    return Problem(
        f'the weights of "{name}" are not on this machine and cannot be downloaded: {why}. Use instead\n'
        "    vit-micro           the bundled backbone, or\n"
        "    local-dir:PATH      a timm checkpoint folder, or a weight file named after its timm model, or\n"
        f"    the hub cache       copy {repo} into {constants.HF_HUB_CACHE}, or set HF_HOME to a cache that has it",
        where="backbone.name",
        absent=True,
    )
