"""Turn the finished `vit-micro` pre-training run into the bundled backbone weights.

Usage: python scripts/export_vit_micro.py results/vit-micro

Takes the last weights of the store's only run (kept by the recipe), drops the classification head, and writes
petlsparse/backbones/bundled/vit-micro.safetensors with its origin in the header.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

from safetensors.torch import load_file, save_file

TARGET = Path(__file__).parent.parent / "petlsparse" / "backbones" / "bundled" / "vit-micro.safetensors"


def main(store: Path) -> None:
    """Export the only run of `store`."""
    (weights,) = store.glob("runs/*/last.safetensors")
    tensors = load_file(weights)
    record = json.loads((weights.parent / "record.json").read_text())
    backbone = {name: tensor for name, tensor in sorted(tensors.items()) if not name.startswith("head.")}
    origin = {
        "run_id": record["run_id"],
        "recipe": record["recipe"],
        "petlsparse": record["provenance"]["petlsparse_version"],
        "torch": record["provenance"]["torch_version"],
        "test_accuracy_last": str(record["metrics"]["test_accuracy_last"]),
    }
    TARGET.parent.mkdir(exist_ok=True)
    save_file(backbone, TARGET, metadata=origin)
    content = TARGET.read_bytes()
    print(f"wrote {TARGET.name}: {len(content):,} bytes, SHA-256 {hashlib.sha256(content).hexdigest()}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
