"""Tables of the Hessian benchmark in Markdown."""

from statistics import median

WRONG = 1e-3  # relative error of a product: float32 rounds to 1e-5 at worst
MISSED = 1e-3  # relative error of an eigenvalue beyond the tolerance
TIMES = ("products", "seconds", "in products", "processor s", "rate", "peak MiB")
COLUMNS = {
    "product": ("before s", "ms a product", "rate", "peak MiB", "error"),
    "top": (*TIMES, "error"),
    "paper": (*TIMES, "error"),
    "density": (*TIMES, "error", "trace error"),
}
TITLES = {
    "product": "One Hessian-vector product",
    "top": "Top-5 eigenvalues of one mini-batch",
    "paper": "Top-5 eigenvalues of each of many mini-batches, NLL + L2",
    "density": "Spectral density of one mini-batch, {probes} probes of {steps} steps",
}


def summary(row: dict) -> dict[str, float]:
    """What the table tells of a row."""

    def mid(name: str) -> float:
        return median(run[name] for run in row["runs"])

    names = {"in products": "inside", "processor s": "processor"}
    found = {n: mid(names.get(n, n)) for n in ("products", "seconds", "checking", *names)}
    each = [run["inside"] / run["products"] for run in row["runs"]]
    if row["part"] == "product":
        each = [run["each"] for run in row["runs"]]
        found["before s"] = mid("before")
    rates = [run["sgemm"] * 1e9 * s for run, s in zip(row["runs"], each, strict=True)]
    found["rate"] = median(4 * row["flops"] / r for r in rates)
    found["ms a product"] = 1000 * median(each)
    found["peak MiB"] = mid("peak") / 2**20
    for name in ("error", "trace error", "product error"):
        found[name] = max(run.get(name, 0.0) for run in row["runs"])
    return found


def table(rows: list[dict]) -> tuple[str, list[str]]:
    """A part in Markdown, and where landscape is the slower one."""
    part = rows[0]["part"]
    heads = ("network", "batch", "engine", *COLUMNS[part], "x", "note")
    lines = [heads, ["---"] * 3 + ["---:"] * (len(heads) - 4) + ["---"]]
    clock = "ms a product" if part == "product" else "seconds"
    slower, ours = [], {}
    for row in rows:
        network = row["network"] + ("" if row["trained"] else " (UNTRAINED)")
        case = (network, row["batch"], row["engine"])
        if row["failed"]:
            lines.append([*case, *[""] * (len(heads) - 4), row["failed"].replace("|", "/")])
            continue
        found = summary(row)
        if row["engine"] == "landscape":
            ours[case[:2]] = found[clock]
        base = ours.get(case[:2])  # it comes first, if it is there
        if base and base > found[clock] and not row["engine"].startswith("landscape"):
            numbers = f"{base:.3g} against {found[clock]:.3g} {clock}"
            slower.append(f"{part}, {network}, {row['batch']}, {row['engine']}: {numbers}")
        cells = [_cell(name, found[name]) for name in COLUMNS[part]]
        times = f"{found[clock] / base:.2f}" if base else ""
        lines.append([*case, *cells, times, _note(part, found)])
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return text + _references(rows), slower


def _references(rows: list[dict]) -> str:
    """How good the references of densities are."""
    found = {(row["network"], row["reference"]) for row in rows if "reference" in row}
    return "".join(f"\n\nReference of {network}: {about}" for network, about in sorted(found))


def _cell(name: str, value: float) -> str:
    if "error" in name:
        return f"{value:.1e}"
    if name == "rate":
        return f"{value:.0%}"
    return f"{value:.0f}" if value >= 100 or name == "peak MiB" else f"{value:.3g}"


def _note(part: str, found: dict[str, float]) -> str:
    if found["product error"] > WRONG:
        return f"**wrong**: products off by {found['product error']:.1e}"
    if part in ("top", "paper") and found["error"] > MISSED:
        return f"misses {MISSED:g}"
    return f"self-check {found['checking']:.2g} s" if found["checking"] else ""
