"""What each analyzer costs on each network that has a name: seconds, and memory at its peak.

Untrained networks, two images, the smallest sensible settings, one process a network. Prints a
table in Markdown; a network whose code or weights are not here says so.

    python tests/benchmarks/networks.py [NAME ...]
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SETTINGS = {
    "fourier": {},
    "variance": {},
    "surface": {"points": 3},
    "hessian": {"k": 1, "max_products": 4, "whole": False},
}


def one(name: str, data: str) -> dict:
    """Run all analyzers on one network, in this process."""
    import landscape

    start = time.process_time()
    case = landscape.prepare(name, data, weights="random", limit=2, batch_size=2)
    seconds = {"build": time.process_time() - start}
    taps = 0
    for analyzer, settings in SETTINGS.items():
        start = time.process_time()
        result = getattr(landscape, analyzer)(case.model, case.batches, **settings)
        seconds[analyzer] = time.process_time() - start
        taps = result.sizes.get("tap", taps)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # KiB to GiB
    return {"taps": taps, "peak": peak, "size": case.batches[0][0].shape[-1], "seconds": seconds}


def main() -> None:
    """Run every network in a process of its own and print the table."""
    import numpy as np
    from PIL import Image

    from landscape.models.card import cards

    heads = ["network", "family", "parameters", "pixels", "taps", *SETTINGS, "peak GiB"]
    print("|", " | ".join(heads), "|")
    print("|", " | ".join("---" for _ in heads), "|")
    with tempfile.TemporaryDirectory() as folder:
        draw = np.random.default_rng(0)
        for label in (3, 7):
            noise = Image.fromarray(draw.integers(0, 256, (256, 320, 3), dtype=np.uint8))
            noise.save(Path(folder) / f"{label:04d}.png")
        for card in cards():
            if sys.argv[1:] and card.name not in sys.argv[1:]:
                continue
            data = f"imagenet:{folder}" if card.data else "deadleaves"
            command = [sys.executable, __file__, "--one", card.name, data]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                why = (done.stderr.strip().splitlines() or ["it stopped"])[-1]
                cells = [f"`{card.name}`", card.family, why]
            else:
                found = json.loads(done.stdout.splitlines()[-1])
                cells = [
                    f"`{card.name}`",
                    card.family,
                    f"{card.parameters / 1e6:.1f} M" if card.parameters else "",
                    str(found["size"]),
                    str(found["taps"]),
                    *(f"{found['seconds'][analyzer]:.1f} s" for analyzer in SETTINGS),
                    f"{found['peak']:.1f}",
                ]
            print("|", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(one(*sys.argv[2:4])))
    else:
        main()
