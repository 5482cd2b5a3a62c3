"""Law files: a fitted law with its resamples, range and data's hash, as JSON that goes where a law's name goes."""

import base64
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distlaw.fit.forms import FORMS, UNDER, Law, joint_form
from distlaw.fit.result import AT_BOUND, NOT_CONVERGED, FitResult
from distlaw.laws import SUPERVISED_ERROR, PublishedLaw, SupervisedLaw, map_coefficients, published, published_names
from distlaw.reading import made, one_line, read_text
from distlaw.runs import written_whole
from distlaw.runs.checksum import sealed_text, unsealed
from distlaw.runs.quantity import MOST
from distlaw.runs.record_file import MOST_LOSS

Array = NDArray[np.float64]

FORMAT = "distlaw-law-2"
_BEFORE = ("distlaw-law-1",)  # without a checksum
_SIZES_ASKED, _LOSSES_ASKED = np.array([1.0, 1e20]), np.array([0.1, 10.0])


@dataclass(frozen=True, kw_only=True)
class FittedLaw(PublishedLaw):
    """A law from a law file: as a published one, with the resamples of its fit.

    Attributes:
        draws: The resamples as one law with arrays for coefficients, of shape (resamples,); None without any.
        count: Number of resamples.
        noise: Standard deviation of log residuals of the fitted runs.
    """

    draws: Law | None = None
    count: int = 0
    noise: float = float("nan")

    def thinned(self, most: int) -> Law | None:
        """Up to `most` of the resamples, spread over all of them, as one law; None where there are none."""
        if self.draws is None:
            return None
        chosen = np.unique(np.linspace(0, self.count - 1, min(most, self.count)).astype(int))
        return map_coefficients(self.draws, lambda values: values[chosen])


def write_law(
    fit: FitResult, path: Path, *, name: str, source: str, data: str, extra: dict[str, Any] | None = None
) -> None:
    """Write a fit as a law file, under a temporary name and renamed.

    Args:
        fit: A fit that converged.
        path: Ends in .json.
        name: What the law is called.
        source: Where the runs came from.
        data: What text and tokenizer their losses are on.
        extra: More that should stand in the file, such as hold-out errors.

    Raises:
        ValueError: The fit did not converge, or the file cannot be written.
    """
    if fit.status == NOT_CONVERGED:
        raise ValueError("the fit did not converge: there is no law to write")
    if path.suffix != ".json":
        raise ValueError(f"law file '{one_line(path)}' must end in .json")
    content = {
        "name": name,
        "form": fit.spec.form,
        "joint": fit.spec.joint,
        "coefficients": {name: value for name, value in fit.coefficients.items() if UNDER not in name},
        "supervised": None if fit.supervised is None else {k: float(v) for k, v in vars(fit.supervised).items()},
        "intervals": fit.intervals,
        "interval_level": fit.spec.level,
        "interval_kind": fit.spec.intervals,
        "loss": fit.spec.loss,
        "delta": fit.spec.delta,
        "clusters": fit.spec.clusters,
        "consistency": fit.spec.consistency,
        "status": fit.status,
        "objective": fit.objective,
        "starts_reached": fit.starts_reached,
        "not_identified": dict(fit.not_identified),
        "open_ranges": dict(fit.open_ranges),
        "train": vars(fit.train),
        "consistency_error": fit.consistency_error,
        "residual_std": float(fit.residuals.std()),
        "runs": int(fit.residuals.size),
        "fitted_range": fit.fitted_range,
        "fingerprint": fit.fingerprint,
        "source": source,
        "data": data,
        "warnings": [str(warning) for warning in fit.warnings],
        **(extra or {}),
        "draws": {"shape": list(fit.draws.shape), "float64": _pack(fit.draws)},
    }
    text = sealed_text(_finite(content), FORMAT)
    _law_of(unsealed(text, str(path), FORMAT), path)  # what could not be read is not written
    with written_whole(path, "law file") as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_law(path: Path) -> FittedLaw:
    """Read a law file.

    Raises:
        ValueError: The file cannot be read, is no law file, is not as it was written, or holds what no law can; names
            what is wrong.
    """
    shown = one_line(path)
    try:
        text = read_text(path)
    except ValueError as error:
        raise ValueError(f"law file '{shown}' {error}") from None
    try:
        content = unsealed(text, str(path), FORMAT, before=_BEFORE)
    except ValueError as error:
        raise ValueError(f"'{shown}' is not a law file to rely on: {one_line(error, 600)}") from None
    return _law_of(content, path)


@dataclass(frozen=True, kw_only=True)
class _Draws:
    """All resamples: rows and columns, and the numbers."""

    shape: tuple[int, int]
    float64: str


@dataclass(frozen=True, kw_only=True)
class _Said:
    """What a law is read from, by type; the rest of the file is for people."""

    name: str
    form: str
    coefficients: dict[str, Any]
    supervised: dict[str, Any] | None
    intervals: dict[str, Any]
    interval_level: float
    not_identified: dict[str, Any]
    fitted_range: dict[str, Any]
    residual_std: float
    runs: int | str
    source: str
    data: str
    draws: _Draws
    joint: bool = False
    train: dict[str, Any] | None = None
    holdout: dict[str, Any] | None = None


def _law_of(content: Mapping[str, Any], path: Path) -> FittedLaw:
    """A law from the content of its file, with every number in its range."""
    try:
        known = {field.name: content[field.name] for field in fields(_Said) if field.name in content}
        made(_Said, known)
        if content["form"] not in FORMS:
            raise ValueError(f"form '{one_line(content['form'], 40)}' is unknown; known are {', '.join(FORMS)}")
        form = FORMS[content["form"]]
        rest = content["supervised"]
        supervised = None if rest is None else _supervised(rest)
        base = {} if supervised is None else {"supervised": supervised}
        given = content["coefficients"]
        law = form.make(**base, **{name: _number(name, given[name]) for name in form.coefficients})
        joint = content.get("joint", False) is True
        spread = joint_form(form) if joint else form
        count, width = (int(n) for n in content["draws"]["shape"])
        draws = _unpack(content["draws"]["float64"], count, width)
        if count and width != len(spread.names):
            raise ValueError(f"draws have {width} coordinates, form '{form.name}' has {len(spread.names)}")
        fitted = {
            str(name): _range(f"fitted_range.{name}", ends, 0.0, MOST_LOSS if name.endswith("_loss") else MOST)
            for name, ends in content["fitted_range"].items()
        }
        _require_losses(law, fitted)
        return FittedLaw(
            name=str(content["name"]),
            law=law,
            source=str(content["source"]),
            data=str(content["data"]),
            size_convention="as in the fitted runs",
            fitted_range=fitted,
            runs=str(content["runs"]),
            intervals={str(k): _range(f"intervals.{k}", ends) for k, ends in content["intervals"].items()},
            interval_level=_number("interval_level", content["interval_level"], 0.0, 1.0),
            cautions=tuple(
                f"{name} is not determined by the runs: {why}" for name, why in content["not_identified"].items()
            ),
            draws=None if not count else spread.law(draws, None if joint else supervised),
            count=count,
            noise=_number("residual_std", content["residual_std"], 0.0, MOST_LOSS),
            resolution=_resolution(content, law, fitted, resampled=count > 0 and (joint or supervised is None)),
        )
    except KeyError as error:
        raise ValueError(f"law file '{one_line(path)}' is damaged: {one_line(error)} is missing") from None
    except (ValueError, zlib.error) as error:
        raise ValueError(f"law file '{one_line(path)}' is damaged: {one_line(error)}") from None


def _resolution(
    content: Mapping[str, Any], law: Law, fitted: Mapping[str, tuple[float, float]], *, resampled: bool
) -> float:
    """Nats that a fitted law can tell, to two digits: a relative error times the loss in the middle of the fitted runs.

    The relative error is the mean one on the law's own runs or on those held out, whichever is larger. A supervised
    law's own error, which moves the lead of one over the other as a whole, is the least that it can be, unless the
    resamples hold that error. It counts twice where the fit ended on a bound of its search (status `at bound`).

    Args:
        content: Of the law file.
        law: The law.
        fitted: Range of the fitted runs.
        resampled: Whether there are resamples that move the supervised law too.
    """
    errors = [content.get("train") or {}, (content.get("holdout") or {}).get("accuracy") or {}]
    if not isinstance(errors[1], Mapping):
        raise ValueError(f"holdout.accuracy must be a table, got {one_line(errors[1], 40)}")
    relative = max(_number("mean_abs_rel_error", one.get("mean_abs_rel_error", 0.0), 0.0, MOST) for one in errors)
    if not resampled:
        relative = max(relative, SUPERVISED_ERROR)
    if content.get("status") == AT_BOUND:
        relative *= 2
    if not {"student_params", "student_tokens"} <= fitted.keys():
        return 0.0
    under = law if isinstance(law, SupervisedLaw) else law.supervised
    middle = (math.sqrt(low * high) for low, high in (fitted["student_params"], fitted["student_tokens"]))
    return float(f"{relative * float(under.loss(*middle)):.2g}")


def _supervised(given: Mapping[str, Any]) -> SupervisedLaw:
    names = {field.name for field in fields(SupervisedLaw)}
    if given.keys() != names:
        raise ValueError(f"supervised must have {', '.join(sorted(names))}, got {one_line(', '.join(given), 60)}")
    return SupervisedLaw(**{name: _number(f"supervised.{name}", value) for name, value in given.items()})


def _number(name: str, value: object, low: float = -math.inf, high: float = math.inf) -> float:
    """A finite number of JSON within a range, the ends included."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{name} must be a number, got {one_line(value, 40)}")
    if not low <= value <= high:
        raise ValueError(f"{name} must lie between {low:g} and {high:g}, got {value:g}")
    return float(value)


def _range(name: str, ends: object, low: float = -math.inf, high: float = math.inf) -> tuple[float, float]:
    if not isinstance(ends, list) or len(ends) != 2:
        raise ValueError(f"{name} must be two numbers, least and most, got {one_line(ends, 60)}")
    least, most = (_number(name, end, low, high) for end in ends)
    if least > most:
        raise ValueError(f"{name} must be least and most, got {least:g} and {most:g}")
    return least, most


def _require_losses(law: Law, fitted: Mapping[str, tuple[float, float]]) -> None:
    """Refuse a law whose losses are none where it was fitted, or are no numbers where one may ask."""
    alone = law if isinstance(law, SupervisedLaw) else law.supervised
    N, D, L_T = (grid.reshape(-1) for grid in np.meshgrid(_SIZES_ASKED, _SIZES_ASKED, _LOSSES_ASKED))
    try:
        with np.errstate(over="raise", invalid="raise", divide="raise"):
            losses = alone.loss(N, D) if isinstance(law, SupervisedLaw) else law.student_loss(N, D, L_T)
    except FloatingPointError:
        losses = np.array([np.inf])
    if not np.isfinite(losses).all():
        raise ValueError("its coefficients give losses that are no numbers")
    if {"student_params", "student_tokens"} <= fitted.keys():
        loss = float(alone.loss(fitted["student_params"][0], fitted["student_tokens"][0]))
        _number("the loss of the smallest fitted student", loss, 0.0, MOST_LOSS)


def find_law(name: str) -> PublishedLaw:
    """A published law by name, or a law file by path.

    Raises:
        ValueError: There is neither; lists the names.
    """
    if name.endswith(".json"):
        return read_law(Path(name))
    if name not in published_names():
        raise ValueError(
            f"law '{one_line(name, 60)}' is unknown; choose one of {', '.join(published_names())}, or a law file, .json"
        )
    return published(name)


def _pack(draws: Array) -> str:
    return base64.b64encode(zlib.compress(np.ascontiguousarray(draws, dtype="<f8").tobytes(), 6)).decode("ascii")


def _unpack(text: str, count: int, width: int) -> Array:
    most = 100_000 * 32 * 8
    data = zlib.decompressobj().decompress(base64.b64decode(text, validate=True), most)
    values = np.frombuffer(data, dtype="<f8")
    if values.size != count * width or not np.isfinite(values).all():
        raise ValueError("draws do not have the shape that the file says")
    return values.reshape(count, width)


def _finite(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
