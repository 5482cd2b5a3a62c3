import dataclasses
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch

from distlaw.labs import mlps, pointer_mapping, pointer_networks
from distlaw.labs.lab import Bench
from distlaw.labs.pointer_mapping import LAB, Grid, grid_of, report
from distlaw.labs.pointer_networks import TRIALS, Network, Trained, samples_of, student, trained
from distlaw.labs.pointer_task import POSITIONS, answer, chances, draw, inputs_and_answers
from distlaw.train.config import TrainingConfig


@pytest.mark.parametrize(("context", "hot", "right"), [("20202100", 1, 1), ("11201200", 5, 2), ("01222212", 1, 6)])
def test_examples_of_the_paper(context, hot, right):
    numbers = [int(digit) for digit in context]
    assert answer(numbers, hot) == right
    inputs, answers = inputs_and_answers()
    [row] = np.flatnonzero((inputs == numbers + [float(i == hot) for i in range(POSITIONS)]).all(axis=1))
    assert answers[row] == right


def test_a_context_without_exactly_one_equal_has_no_answer():
    for context in ([1, 1, 1, 0], [2, 1, 1, 0]):
        with pytest.raises(ValueError, match="not one"):
            answer(context, hot=0)


def test_the_table_holds_every_input_that_has_an_answer():
    inputs, answers = inputs_and_answers()
    assert len(np.unique(inputs, axis=0)) == len(inputs) == 8 * (3**7 + 2 * 7 * 2**6)
    for row in range(0, len(inputs), 97):
        assert answer(inputs[row, :POSITIONS].tolist(), int(inputs[row, POSITIONS:].argmax())) == answers[row]


def test_inputs_are_drawn_by_their_chances():
    inputs, answers = inputs_and_answers()
    drawn = draw(np.random.default_rng(0), 400_000)
    each = np.bincount(drawn, minlength=len(inputs))
    expected = 400_000 * chances()
    assert chances().sum() == pytest.approx(1.0)
    chi_square = float(((each - expected) ** 2 / expected).sum())
    assert abs(chi_square - len(inputs)) < 4 * np.sqrt(2 * len(inputs))
    pointed = inputs[:, :POSITIONS].astype(int)[np.arange(len(inputs)), inputs[:, POSITIONS:].argmax(axis=1)]
    for value in range(3):
        assert chances()[pointed == value].sum() == pytest.approx(1 / 3)
    for right in range(POSITIONS):
        assert chances()[answers == right].sum() == pytest.approx(1 / POSITIONS)


def alone(width, *, samples, seed, inputs, targets):
    """One network by torch's own layers, loss and optimizer, on the rows that `mlps` would give it."""
    features, classes = inputs.shape[1], targets.shape[1]
    sizes = (features, width, width, classes)
    lines = [torch.nn.Linear(a, b) for a, b in pairwise(sizes)]
    net = torch.nn.Sequential(lines[0], torch.nn.ReLU(), lines[1], torch.nn.ReLU(), lines[2])
    rng = np.random.default_rng([*seed, 0])
    with torch.no_grad():
        for line in lines:
            bound = 1 / np.sqrt(line.in_features)
            for p in (line.weight, line.bias):
                p.copy_(torch.from_numpy(bound * rng.uniform(-1, 1, tuple(p.shape))))
    adam = torch.optim.Adam(net.parameters(), lr=3e-4)
    course = TrainingConfig(tokens=samples, batch_tokens=mlps.BATCH, rate=3e-4, warmup=0.05, final_rate=0.0)
    rng = np.random.default_rng([*seed, 1])
    for step in range(course.steps):
        rows = draw(rng, mlps.BATCH)
        for group in adam.param_groups:
            group["lr"] = 3e-4 * course.rate_at(step)
        adam.zero_grad()
        z = net(torch.from_numpy(inputs[rows]))
        torch.nn.functional.cross_entropy(z, torch.from_numpy(targets[rows])).backward()
        adam.step()
    return [p.detach().numpy() for p in net.parameters()]


@pytest.mark.parametrize("taught", [False, True])
def test_networks_of_a_batch_are_those_that_torch_trains_one_at_a_time(taught):
    inputs, answers = inputs_and_answers()
    targets = np.eye(POSITIONS, dtype=np.float32)[answers]
    if taught:
        teachers = np.random.default_rng(0).gamma(0.3, size=(3, *targets.shape)) + 1e-6
        targets = (teachers / teachers.sum(axis=2, keepdims=True)).astype(np.float32)
    seeds, samples = [(0, 0), (0, 1), (7, 0)], 40 * mlps.BATCH
    layers = mlps.train(12, samples=samples, seeds=seeds, inputs=inputs, targets=targets, draw=draw)
    logs = mlps.log_probabilities(layers, inputs)
    for i, seed in enumerate(seeds):
        own = alone(12, samples=samples, seed=seed, inputs=inputs, targets=targets[i] if taught else targets)
        for batched, single in zip(layers, own, strict=True):
            # After 40 steps of up to 3e-4: what Adam makes of gradients that are 0 to rounding may differ a little.
            np.testing.assert_allclose(batched[i].reshape(single.shape), single, atol=2e-5)
        [one] = mlps.train(
            12,
            samples=samples,
            seeds=[seed],
            inputs=inputs,
            targets=targets[i : i + 1] if taught else targets,
            draw=draw,
        )[:1]
        np.testing.assert_allclose(one[0], layers[0][i], atol=2e-5)
        W1, b1, W2, b2, W3, b3 = own
        a = np.maximum(np.maximum(inputs @ W1.T + b1, 0) @ W2.T + b2, 0)
        z = a @ W3.T + b3
        expected = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
        np.testing.assert_allclose(logs[i], expected, atol=2e-4)
    moved = np.abs(layers[2] - mlps.train(12, samples=512, seeds=seeds, inputs=inputs, targets=targets, draw=draw)[2])
    assert moved.max() > 3e-3  # so that the tolerance is small beside what training does


def test_parameters_are_counted():
    assert mlps.count_params(7, features=3, classes=2) == 3 * 7 + 7 + 7 * 7 + 7 + 7 * 2 + 2
    assert samples_of(32) == 500 * 512
    assert samples_of(256) == 20 * 72200
    assert samples_of(512) == 5 * mlps.count_params(512, features=16, classes=8)


def test_students_of_a_trial_share_weights_and_samples_and_teachers_do_not(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(mlps, "train", lambda width, **how: seen.append(how["seeds"]) or _untrained(width))
    bench = Bench(preset="quick", seed=3, out=tmp_path, cache=tmp_path)
    strong = Network(width=4, samples=2048, role="teacher")
    for one in (student(4, None), student(4, strong)):
        trained(one, bench)
    supervised, teaching, taught = seen
    assert supervised == taught
    assert len({*taught, *teaching}) == 2 * TRIALS


def _untrained(width):
    sizes = (2 * POSITIONS, width, width, POSITIONS)
    return [np.zeros((TRIALS, *shape), dtype=np.float32) for a, b in pairwise(sizes) for shape in ((b, a), (b, 1))]


SMALL = Grid(
    students={
        4: (
            small := Network(width=4, samples=8 * 512, role="teacher"),
            wide := Network(width=6, samples=16 * 512, role="teacher"),
            brief := Network(width=6, samples=8 * 512, role="teacher"),
        )
    },
    subject=4,
)


@pytest.fixture
def lab(monkeypatch):
    """The lab with a grid of seconds, and how often each width was trained."""
    monkeypatch.setattr(pointer_mapping, "grid_of", lambda _preset: SMALL)
    monkeypatch.setattr(pointer_networks, "samples_of", lambda width: {4: 8, 6: 16}[width] * 512)
    count, train = Counter(), mlps.train
    monkeypatch.setattr(mlps, "train", lambda width, **how: count.update([width]) or train(width, **how))
    return count


def test_an_interrupted_lab_goes_on_and_finds_the_same(tmp_path, lab):
    def bench(name, progress=lambda *_: None, seed=0):
        (tmp_path / name).mkdir(exist_ok=True)
        return Bench(preset="quick", seed=seed, out=tmp_path / name, cache=tmp_path, progress=progress)

    def stop(_what, done, of):
        assert 0 <= done < of
        if sum(lab.values()) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        LAB.examine(bench("one", stop))
    assert sum(lab.values()) == 4
    found = LAB.examine(goes_on := bench("one"))
    assert sum(seconds > 0 for seconds in goes_on.before.values()) == 4  # what the first call took is known
    assert lab == {4: 5, 6: 2}  # none twice: teachers of 4 and 6, twice; students of three teachers and of none
    whole = LAB.examine(bench("another"))
    assert found.tables == whole.tables
    assert found.findings == whole.findings
    before = lab.total()
    assert LAB.examine(bench("one")).tables == found.tables
    assert lab.total() == before
    assert LAB.examine(bench("one", seed=1)).tables != found.tables  # another seed, though in one folder


def test_kept_networks_are_told_apart_by_all_that_makes_them(tmp_path, lab):
    bench = Bench(preset="quick", out=tmp_path, cache=tmp_path)
    taught = dataclasses.replace(student(4, brief), samples=8 * 512)
    trained(taught, bench)
    for change in ({"teacher": wide}, {"teacher": None}, {"samples": 9 * 512}, {"width": 6}, {"role": "teacher"}):
        before = lab.total()
        trained(dataclasses.replace(taught, **change), bench)
        assert lab.total() > before


def planted(losses, teachers=(1.5, 1.0, 0.5), alone=1.5):
    """Outcomes of `SMALL` with given losses, and a little noise that students of one trial share."""
    noise = np.array([0.0, 0.01, -0.01, 0.003])
    own = np.array([0.001, -0.001, 0.0005, 0.0])

    def outcome(loss, i):
        return Trained(loss=loss + noise + (-1) ** i * own, error=np.full(TRIALS, 0.5))

    at = {one: outcome(loss, 0) for one, loss in zip((small, brief, wide), teachers, strict=True)}
    at |= {student(4, one): outcome(loss, i) for i, (one, loss) in enumerate(zip(at, losses, strict=True))}
    return at | {student(4, None): outcome(alone, 0)}


@pytest.mark.parametrize(
    ("losses", "rise", "verdict"),
    [((1.4, 1.2, 1.3), 0.1, "holds"), ((1.4, 1.3, 1.1), -0.2, "does not hold"), ((1.4, 1.2, 1.2), 0.0, "undecided")],
)
@pytest.mark.usefixtures("lab")
def test_a_planted_gap_is_found_and_an_absent_one_is_not(losses, rise, verdict):
    found = report(SMALL, planted(losses))
    main, by_width, by_samples, over_supervised = found.findings
    assert main.verdict == verdict
    assert main.effect.value == pytest.approx(rise, abs=0.002)
    assert by_width.effect.value == pytest.approx(losses[2] - losses[0], abs=0.002)
    assert by_samples.effect.value == pytest.approx(losses[2] - losses[1], abs=0.002)
    assert over_supervised.effect.value == pytest.approx(1.5 - min(losses), abs=0.002)
    row = dict(zip(found.tables[0].columns, found.tables[0].rows[0], strict=True))
    assert row["loss under the strongest, nats"] == pytest.approx(losses[2], abs=0.01)
    assert row["loss under it, nats"] == pytest.approx(min(losses), abs=0.01)
    assert row["it rises"] == verdict


def test_the_interval_of_the_clearest_of_several_is_wider():
    values = np.array([0.1, 0.12, 0.09, 0.11])
    one, five = (pointer_mapping._widened(values, choices) for choices in (1, 5))
    assert five.interval[0] < one.interval[0] < one.value == five.value
    # Student's t with 3 degrees of freedom at 0.05 / 5 a side.
    half = 4.541 * values.std(ddof=1) / 2
    assert five.interval == pytest.approx((five.value - half, five.value + half), rel=1e-3)


@pytest.mark.parametrize("preset", ["quick", "full"])
def test_grids_have_what_the_findings_need(preset):
    grid = grid_of(preset)
    assert len(grid.by_width(grid.subject)) >= 4
    assert len(grid.by_samples(grid.subject)) >= 3
    networks = grid.networks()
    assert len(set(networks)) == len(networks)
    for i, one in enumerate(networks):
        assert one.teacher is None or one.teacher in networks[:i]
