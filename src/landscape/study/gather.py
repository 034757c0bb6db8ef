"""The results that claims need: which there are, which are missing, and how they are made."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

from landscape.claims import Analysis, Claim, Reading
from landscape.journal import discard
from landscape.models.card import find, zoo
from landscape.models.checkpoints import Checkpoint, checkpoint, parse, pick
from landscape.result import label, load, plain, save
from landscape.study.case import prepare, public, slug, twins

QUICK = {"images": 32}
#: less of everything, to see that it runs; no basis for a verdict
_QUICK_SETTINGS: Mapping[str, dict[str, Any]] = {
    "hessian": {"k": 2, "tol": 0.1},
    "density": {"probes": 2, "steps": 8},
    "surface": {"points": 5, "planes": 2},
    "sharpness": {"directions": 2, "steps": 2},
}
Shown = Callable[[str], Any]


@dataclass(frozen=True)
class Job:
    """One result to be had: an analysis of a network with certain weights.

    Attributes
    ----------
    analysis, model, family, seed
        As in a `Reading`.
    data
        The data spec.
    weights
        As `landscape.prepare` takes them.
    path
        Of the result.
    asked
        Digest of all that decides it.
    """

    analysis: Analysis
    model: str
    family: str
    seed: int
    data: str
    weights: str | None
    path: Path
    asked: str


def jobs(
    analyses: Iterable[Analysis],
    models: Sequence[str],
    data: str,
    folder: Path,
    *,
    seeds: int = 3,
    quick: bool = False,
) -> list[Job]:
    """Every result of these analyses and networks, once each.

    Parameters
    ----------
    analyses
        What is needed; of one name only the last.
    models
        Specs as `landscape.prepare` takes them.
    data
        The data spec.
    folder
        Where results are: ``FOLDER/MODEL@DATA[-WEIGHTS]/ANALYSIS.nc``.
    seeds
        Of the networks of the zoo, at most so many; other networks have one.
    quick
        Few images and coarse settings.
    """
    known = {analysis.name: analysis for analysis in analyses}.values()
    found = []
    for spec in models:
        card = find(spec, data)
        for analysis in known:
            if card.family not in analysis.families:
                continue
            small = _small(analysis) if quick else analysis
            for seed, weights, identity in _weights(card.name, data, analysis.weights, seeds):
                home = f"{slug(public(card.name))}@{slug(public(data))}" + (
                    f"-{weights}" if weights else ""
                )
                told = {**asdict(small), "model": spec, "data": data, "weights": identity}
                text = json.dumps(told, sort_keys=True, default=plain)
                asked = hashlib.sha256(text.encode()).hexdigest()[:16]
                path = folder / home / f"{analysis.name}.nc"
                found.append(Job(small, spec, card.family, seed, data, weights, path, asked))
    return found


def beside(
    claim: Claim,
    models: Sequence[str],
    data: str,
    folder: Path,
    *,
    seeds: int = 3,
    quick: bool = False,
) -> list[Job]:
    """As `jobs`, of what a claim needs of networks beside ``models``, if trained on the data."""
    others = [
        name for name in claim.beside if name not in models and pick(name, data, Checkpoint())
    ]
    return jobs(claim.analyses, others, data, folder, seeds=seeds, quick=quick)


def gather(wanted: Sequence[Job], shown: Shown | None) -> Iterator[Reading]:
    """Readings of all jobs; without ``shown`` only those that are there.

    A result that was asked for with other settings, data or weights counts as missing. What is
    computed is saved at once; the pieces of a long analyzer are kept beside it until then.
    """
    for job in wanted:
        result = _stored(job)
        if result is None and shown is not None:
            result = _made(job, shown)
        if result is not None:
            yield Reading(job.analysis.name, job.model, job.family, job.seed, result)


def missing(wanted: Sequence[Job]) -> list[Job]:
    """Jobs whose results are not there."""
    return [job for job in wanted if _stored(job) is None]


def _stored(job: Job) -> Any:
    if not job.path.is_file():
        return None
    about = job.path.stat()
    result = _read(job.path, about.st_mtime_ns, about.st_size)
    return result if json.loads(result.attrs["facts"]).get("asked") == job.asked else None


@lru_cache(maxsize=512)
def _read(path: Path, changed: int, size: int) -> Any:
    """A result as the file was then: what is missing is asked for before all is read."""
    return load(path)


def _made(job: Job, shown: Shown) -> Any:
    analysis = job.analysis
    case = prepare(
        job.model,
        job.data,
        weights=job.weights,
        augment=analysis.augment,
        split=analysis.split,
        limit=analysis.images,
        batch_size=analysis.batch_size,
        labels=analysis.labels,
    )
    analyzer = getattr(import_module(f"landscape.analyzers.{analysis.analyzer}"), analysis.analyzer)
    place = job.path.with_suffix(".journal")
    more = case.asked(analyzer)
    if "journal" in signature(analyzer).parameters:
        more["journal"] = place
    if analysis.twins:
        more["twins"] = twins(case.card, analysis.twins, job.seed)
    with shown(f"{job.path.parent.name} {analysis.name}") as progress:
        result = analyzer(case.model, case.batches, progress=progress, **analysis.settings, **more)
    result = label(result, **case.facts, analysis=analysis.name, asked=job.asked)
    save(result, job.path)
    discard(place)
    return load(job.path)


def _small(analysis: Analysis) -> Analysis:
    coarse = {**analysis.settings, **_QUICK_SETTINGS.get(analysis.analyzer, {})}
    size = min(analysis.images, QUICK["images"])
    return replace(analysis, images=size, settings=coarse)


def _weights(model: str, data: str, role: str, seeds: int) -> Iterator[tuple[int, str | None, str]]:
    """Seed, spec and identity of the weights for a role; none for one that does not exist."""
    role_of = parse(role)
    if role_of is None:
        raise ValueError(f"'{role}' is no role of weights, as final, warmup, weak, weak-warmup")
    entries = [e for e in zoo(model) if e["data"] in (data, data.partition(":")[0])]
    for seed in range(seeds if entries else 0):
        wanted = replace(role_of, seed=seed)
        entry = pick(model, data, wanted)
        if entry is not None:
            plainly = wanted == Checkpoint()
            yield seed, None if plainly else str(checkpoint(entry)), entry["sha256"]
    if not entries and role_of == Checkpoint():
        yield 0, None, "published"
