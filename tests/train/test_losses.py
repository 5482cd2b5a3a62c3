import math
from dataclasses import replace
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from distlaw.train.losses import LossConfig, LossSums, distillation_loss
from distlaw.train.targets import IMPOSSIBLE, DenseTargets, Offer, OnlineTeacher, TailTargets, uniforms

DEFAULT = LossConfig()
POSITIONS, VOCABULARY, WIDTH = 24, 40, 6

OFFERS = {
    "dense": {"targets": "dense"},
    "bucket": {"targets": "top-k", "top_k": 5},
    "renormalise": {"targets": "top-k", "top_k": 5, "tail": "renormalise"},
    "nucleus": {"targets": "top-p", "top_p": 0.7},
    "sampled": {"targets": "sampled", "samples": 7},
    "top-1": {"targets": "top-1"},
}
WHOLE = ("dense", "bucket", "nucleus")  # every student's token has a teacher's probability


class Case:
    """A student, a teacher of another width and labels."""

    def __init__(self, dtype=torch.float64, seed=0, teacher_vocabulary=VOCABULARY, positions=POSITIONS):
        g = torch.Generator().manual_seed(seed)
        self.hidden = torch.randn(positions, WIDTH, generator=g, dtype=dtype, requires_grad=True)
        self.head = torch.randn(VOCABULARY, WIDTH, generator=g, dtype=dtype).requires_grad_()
        self.teacher_hidden = torch.randn(positions, 9, generator=g, dtype=dtype)
        self.teacher_head = torch.randn(teacher_vocabulary, 9, generator=g, dtype=dtype) * 0.7
        self.labels = torch.randint(VOCABULARY, (positions,), generator=g)
        self.uniforms = uniforms(seed, range(positions), 1)

    def teacher(self, config=DEFAULT):
        return OnlineTeacher(
            self.teacher_hidden, self.teacher_head, VOCABULARY, config.temperature, config.offer, self.uniforms
        )

    def loss(self, config, mixing, **changes):
        arguments = {"labels": self.labels, "teacher": self.teacher(config), **changes}
        return distillation_loss(self.hidden, self.head, config=config, mixing=mixing, **arguments)

    def gradients(self, objective):
        return torch.autograd.grad(objective, (self.hidden, self.head), allow_unused=True)


def by_definition(case, config, mixing, rows=slice(None)):
    """Eq. 4-7 by autograd on all logits at once; truncated targets through their outcomes, one position at a time."""
    tau = config.temperature
    z = case.hidden[rows] @ case.head.T
    z_T = torch.full((len(z), VOCABULARY), -torch.inf, dtype=z.dtype)
    shared = min(VOCABULARY, len(case.teacher_head))
    z_T[:, :shared] = (case.teacher_hidden[rows] @ case.teacher_head.T)[:, :shared]
    given = config.offer.of(torch.log_softmax(z_T / tau, -1), case.uniforms[rows])
    p_all, q_all = torch.softmax(z_T / tau, -1), torch.softmax(z / tau, -1)
    total = dict.fromkeys(("cross_entropy_teacher", "teacher_entropy", "distillation", "lost_mass"), 0.0)
    for i in range(len(z)):
        if isinstance(given, DenseTargets):
            p, q, lost = p_all[i], q_all[i], 0.0
        else:
            kept = given.ids[i].unique()
            kept = kept[p_all[i, kept] > 0]
            lost = 1 - p_all[i, kept].sum()
            p, q = p_all[i, kept], q_all[i, kept]
            if isinstance(given, TailTargets):
                p, q = torch.cat([p, (1 - p.sum())[None]]), torch.cat([q, (1 - q.sum())[None]])
            elif config.targets == "sampled":
                p = torch.stack([given.weights[i][given.ids[i] == token].sum() for token in kept])
                lost = 0.0
            else:
                p = p / p.sum()
        positive = p > 0
        ce = -(p[positive] * q[positive].log()).sum()
        total["cross_entropy_teacher"] += ce
        entropy_of = p_all[i] if config.targets == "sampled" else p
        total["teacher_entropy"] += -torch.special.xlogy(entropy_of, entropy_of).sum()
        total["lost_mass"] += lost
        total["distillation"] += (
            tau**2
            * {
                "forward-kl": lambda ce=ce: ce,
                "reverse-kl": lambda p=p, q=q: (q * (q / p).log()).sum(),
                "jsd": lambda p=p, q=q, m=(p + q) / 2, some=positive: (
                    ((p[some] * (p[some] / m[some]).log()).sum() + (q * (q / m).log()).sum()) / 2
                ),
            }[config.divergence]()
        )
    total["kl"] = total["cross_entropy_teacher"] - total["teacher_entropy"]
    total["cross_entropy"] = F.cross_entropy(z, case.labels[rows], reduction="sum")
    total["z"] = z.logsumexp(-1).square().sum()
    total["objective"] = (
        (1 - mixing) * total["cross_entropy"] + mixing * total["distillation"] + config.z_loss * total["z"]
    )
    total["positions"] = torch.tensor(len(z))
    return total


CONFIGS = [
    pytest.param(OFFERS[offer], divergence, id=f"{offer}-{divergence}")
    for offer, divergence in product(OFFERS, ("forward-kl", "reverse-kl", "jsd"))
    if divergence == "forward-kl" or offer in WHOLE
]


@pytest.mark.parametrize(("offer", "divergence"), CONFIGS)
@pytest.mark.parametrize(
    ("tau", "mixing", "z_loss"), [(1.0, 1.0, 0.0), (1.0, 1.0, 0.3), (1.0, 0.6, 0.3), (2.5, 0.6, 0.3), (0.5, 1.0, 0.0)]
)
def test_it_is_equations_4_to_7_with_their_gradients(offer, divergence, tau, mixing, z_loss):
    case = Case()
    config = LossConfig(temperature=tau, z_loss=z_loss, divergence=divergence, chunk=7, **offer)
    ours = case.loss(config, mixing)
    reference = by_definition(case, config, mixing)
    for name, value in reference.items():
        torch.testing.assert_close(
            getattr(ours, name).double(), torch.as_tensor(value).double(), rtol=1e-9, atol=1e-9, msg=name
        )
    for mine, theirs in zip(case.gradients(ours.objective), case.gradients(reference["objective"]), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("divergence", ["forward-kl", "reverse-kl", "jsd"])
@pytest.mark.parametrize("offer", WHOLE)
@pytest.mark.parametrize("tau", [1.0, 2.0])
def test_a_student_equal_to_its_teacher_has_kl_0_and_no_gradient(divergence, offer, tau):
    case = Case(dtype=torch.float32)
    case.teacher_hidden, case.teacher_head = case.hidden.detach(), case.head.detach()
    config = LossConfig(divergence=divergence, temperature=tau, z_loss=0.0, chunk=9, **OFFERS[offer])
    ours = case.loss(config, 1.0)
    assert ours.kl == 0
    if divergence != "forward-kl":
        assert abs(ours.distillation) < 1e-5
    for gradient in case.gradients(ours.objective):
        assert gradient.abs().max() < 1e-6
        if divergence == "forward-kl":
            assert (gradient == 0).all()


def test_kl_is_the_kl():
    case = Case()
    ours = case.loss(LossConfig(), 1.0)
    log_q = torch.log_softmax(case.hidden @ case.head.T, -1)
    log_p = torch.log_softmax(case.teacher_hidden @ case.teacher_head.T, -1)
    torch.testing.assert_close(ours.kl, (log_p.exp() * (log_p - log_q)).sum().detach())


@pytest.mark.parametrize("offer", OFFERS)
@pytest.mark.parametrize("chunk", [1, 5, 24, 1000, None])
def test_the_chunk_changes_nothing(offer, chunk):
    case = Case()
    config = LossConfig(z_loss=0.1, **OFFERS[offer])
    one = case.loss(replace(config, chunk=POSITIONS), 0.7)
    other = case.loss(replace(config, chunk=chunk), 0.7)
    torch.testing.assert_close(one.detached(), other.detached(), rtol=1e-12, atol=1e-12)
    for a, b in zip(case.gradients(one.objective), case.gradients(other.objective), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("offer", OFFERS)
def test_micro_batches_add_up(offer):
    case = Case()
    config = LossConfig(z_loss=0.1, **OFFERS[offer])
    case.labels[3] = -100  # so the parts have different numbers of targets
    whole = case.loss(config, 0.7)
    (whole.objective / whole.positions).backward()
    expected = case.hidden.grad.clone(), case.head.grad.clone()
    case.hidden.grad = case.head.grad = None
    total = 0.0
    for part in (slice(0, 10), slice(10, 24)):
        teacher = case.teacher(config).at(part)
        sums = distillation_loss(case.hidden[part], case.head, case.labels[part], teacher, config, 0.7)
        (sums.objective / 23).backward()
        total = total + sums.detached()
    torch.testing.assert_close(total, whole.detached(), rtol=1e-12, atol=1e-12)
    for mine, theirs in zip((case.hidden.grad, case.head.grad), expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("offer", OFFERS)
def test_positions_without_a_target_cost_and_move_nothing(offer):
    case = Case()
    config = LossConfig(chunk=5, **OFFERS[offer])
    masked = torch.tensor([0, 7, 8, 9, 10, 11, 23])
    kept = torch.tensor([i for i in range(POSITIONS) if i not in masked])
    case.labels[masked] = -100
    ours = case.loss(config, 0.7)
    reference = by_definition(case, config, 0.7, kept)
    assert ours.positions == len(kept)
    torch.testing.assert_close(ours.objective, reference["objective"], rtol=1e-10, atol=0)
    hidden, head = case.gradients(ours.objective)
    assert (hidden[masked] == 0).all()
    hidden_there, head_there = case.gradients(reference["objective"])
    torch.testing.assert_close(hidden, hidden_there, rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(head, head_there, rtol=1e-8, atol=1e-10)


def test_a_batch_without_targets_is_zero():
    case = Case()
    case.labels[:] = -1
    ours = case.loss(LossConfig(), 1.0)
    assert (ours.detached() == 0).all()
    assert all((g == 0).all() for g in case.gradients(ours.objective))


def test_supervised_learning_is_cross_entropy_and_knows_no_teacher():
    case = Case()
    ours = case.loss(LossConfig(z_loss=0.0), 0.0, teacher=None)
    theirs = F.cross_entropy(case.hidden @ case.head.T, case.labels, reduction="sum")
    torch.testing.assert_close(ours.objective, theirs, rtol=1e-12, atol=0)
    for a, b in zip(case.gradients(ours.objective), case.gradients(theirs), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)
    for name in ("cross_entropy_teacher", "teacher_entropy", "kl", "distillation", "lost_mass"):
        assert math.isnan(getattr(ours, name))
    with pytest.raises(ValueError, match=r"mixing is 0\.5, and there is no teacher"):
        case.loss(LossConfig(), 0.5, teacher=None)


def test_the_first_order_of_blocks_and_positions_does_not_matter():
    case = Case()
    blocks = distillation_loss(
        case.hidden.view(4, 6, WIDTH), case.head, case.labels.view(4, 6), case.teacher(), LossConfig(), 0.3
    )
    torch.testing.assert_close(blocks.detached(), case.loss(LossConfig(), 0.3).detached())


@pytest.mark.parametrize(("needs_hidden", "needs_head"), [(True, False), (False, True), (False, False)])
def test_gradients_are_made_where_they_are_wanted(needs_hidden, needs_head):
    case = Case()
    both = case.loss(LossConfig(), 0.5)
    expected = case.gradients(both.objective)
    case.hidden.requires_grad_(needs_hidden)
    case.head.requires_grad_(needs_head)
    ours = case.loss(LossConfig(), 0.5)
    assert ours.objective.requires_grad == (needs_hidden or needs_head)
    torch.testing.assert_close(ours.detached(), both.detached())
    if needs_hidden or needs_head:
        (3 * ours.objective).backward()
    for tensor, gradient, wanted in zip((case.hidden, case.head), expected, (needs_hidden, needs_head), strict=True):
        assert (tensor.grad is not None) == wanted
        if wanted:
            torch.testing.assert_close(tensor.grad, 3 * gradient)


def test_only_the_objective_has_a_gradient():
    ours = Case().loss(LossConfig(), 0.5)
    assert [name for name in LossSums.names() if getattr(ours, name).requires_grad] == ["objective"]
    assert ours.detached().dtype == torch.float64
    assert not ours.detached().requires_grad
    with torch.no_grad():
        assert not Case().loss(LossConfig(), 0.5).objective.requires_grad


class Largest(TorchDispatchMode):
    """Sees the size of every tensor that is made."""

    numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else (out,):
            if isinstance(tensor, torch.Tensor):
                self.numbers = max(self.numbers, tensor.numel())
        return out


@pytest.mark.parametrize("offer", OFFERS)
def test_no_tensor_holds_more_than_a_chunk_of_logits(offer):
    case = Case(positions=96)
    config = LossConfig(chunk=8, **OFFERS[offer])
    with Largest() as largest:
        case.loss(config, 0.5).objective.backward()
    assert 8 * VOCABULARY <= largest.numbers <= max(8 * VOCABULARY, case.hidden.numel(), 7 * 96)


def test_the_chunk_that_is_chosen_is_small():
    case = Case(dtype=torch.float32, positions=20_000)
    with Largest() as largest:
        case.loss(DEFAULT, 0.5).objective.backward()
    assert largest.numbers <= max(2**17, case.hidden.numel(), 7 * 20_000) < 20_000 * VOCABULARY / 5


@pytest.mark.parametrize("teacher_vocabulary", [VOCABULARY - 7, VOCABULARY + 9])
@pytest.mark.parametrize(("offer", "divergence"), CONFIGS)
def test_a_teacher_with_another_padding_is_cut_to_the_students_vocabulary(teacher_vocabulary, offer, divergence):
    case = Case(teacher_vocabulary=teacher_vocabulary)
    config = LossConfig(chunk=7, divergence=divergence, **offer)
    if divergence == "reverse-kl" and config.targets == "dense" and teacher_vocabulary < VOCABULARY:
        with pytest.raises(ValueError, match="'reverse-kl' is infinite: the teacher's vocabulary ends before"):
            case.loss(config, 0.7)
        return
    ours, reference = case.loss(config, 0.7), by_definition(case, config, 0.7)
    torch.testing.assert_close(ours.objective, reference["objective"], rtol=1e-9, atol=0)
    torch.testing.assert_close(ours.kl, reference["kl"].detach(), rtol=1e-9, atol=1e-9)
    for mine, theirs in zip(case.gradients(ours.objective), case.gradients(reference["objective"]), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-8, atol=1e-10)


def test_more_top_tokens_than_the_teacher_knows():
    case = Case(teacher_vocabulary=3)
    config = LossConfig(targets="top-k", top_k=5)
    given = case.teacher(config).at(slice(None))
    assert (given.log_probs > IMPOSSIBLE).sum(-1).eq(3).all()
    ours, reference = case.loss(config, 1.0), by_definition(case, config, 1.0)
    torch.testing.assert_close(ours.objective, reference["objective"], rtol=1e-9, atol=0)
    for mine, theirs in zip(case.gradients(ours.objective), case.gradients(reference["objective"]), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-8, atol=1e-10)


def test_expected_gradient_of_samples_is_the_dense_one():
    case = Case(positions=3)
    config = LossConfig(targets="sampled", samples=4)
    grid = 4096  # the mean over u, by the midpoint rule: exact but for the ends of each token's interval
    total = [torch.zeros_like(case.hidden), torch.zeros_like(case.head)]
    value = 0.0
    log_probs = case.teacher().log_probs(slice(None))
    for row in range(3):
        u = (torch.arange(grid, dtype=torch.float64) + 0.5) / grid
        targets = config.offer.of(log_probs[row].expand(grid, -1), u)
        hidden = case.hidden[row].expand(grid, -1)
        sums = distillation_loss(hidden, case.head, case.labels[row].expand(grid), targets, config, 1.0)
        total = [t + g / grid for t, g in zip(total, case.gradients(sums.objective), strict=True)]
        value += sums.kl / grid
    dense = case.loss(LossConfig(), 1.0)
    torch.testing.assert_close(value, dense.kl, rtol=2e-3, atol=2e-3)
    for mean, expected in zip(total, case.gradients(dense.objective), strict=True):
        torch.testing.assert_close(mean, expected, rtol=2e-3, atol=2e-3)


def test_renormalised_targets_pull_the_student_out_of_the_tail():
    case = Case()
    config = LossConfig(targets="top-k", top_k=5, tail="renormalise", z_loss=0.0)
    logits = torch.zeros(POSITIONS, VOCABULARY, dtype=torch.float64, requires_grad=True)
    identity = torch.eye(VOCABULARY, dtype=torch.float64)
    given = case.teacher(config).at(slice(None))
    (gradient,) = torch.autograd.grad(
        distillation_loss(logits, identity, case.labels, given, config, 1.0).objective, logits
    )
    tail = torch.ones_like(gradient, dtype=torch.bool).scatter(1, given.ids, False)
    torch.testing.assert_close(gradient[tail], torch.full_like(gradient[tail], 1 / VOCABULARY))


def test_a_tail_that_a_sure_student_has_almost_left_stays_exact():
    # The student's tail has 1e-20 of its mass, which 1 - sum would call 0.
    logits = torch.tensor([[46.0, 45.0, 0.0, -1.0, 1.0]])
    teacher = TailTargets(torch.tensor([[0, 1]]), torch.tensor([[0.5, 0.3]]).log(), torch.tensor([0.2]).log())
    identity = torch.eye(5)
    results = []
    for dtype in (torch.float32, torch.float64):
        z = logits.to(dtype).requires_grad_()
        given = TailTargets(teacher.ids, teacher.log_probs.to(dtype), teacher.log_tail.to(dtype))
        sums = distillation_loss(z, identity.to(dtype), torch.tensor([0]), given, LossConfig(z_loss=0.0), 1.0)
        results.append((sums.objective, *torch.autograd.grad(sums.objective, z)))
    q = torch.softmax(logits.double(), -1)[0]
    tail = q[2:].sum()
    torch.testing.assert_close(
        results[1][0], -(0.5 * q[0].log() + 0.3 * q[1].log() + 0.2 * tail.log()), atol=1e-6, rtol=0
    )
    expected = torch.cat([q[:2] - torch.tensor([0.5, 0.3]), q[2:] / tail * (tail - 0.2)])
    for value, gradient in results:
        torch.testing.assert_close(value, results[1][0], rtol=1e-6, atol=0, check_dtype=False)
        torch.testing.assert_close(gradient[0].double(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("gap", [100.0, 1000.0])
def test_a_student_that_is_certain_gives_finite_numbers(gap):
    z = torch.zeros(1, 8)
    z[0, 0] = gap
    for offer in ("bucket", "dense", "renormalise"):
        config = LossConfig(chunk=1, **OFFERS[offer])
        given = config.offer.of(torch.log_softmax(torch.arange(8.0)[None], -1))
        hidden = z.clone().requires_grad_()
        sums = distillation_loss(hidden, torch.eye(8), torch.tensor([3]), given, config, 0.5)
        (gradient,) = torch.autograd.grad(sums.objective, hidden)
        assert sums.detached().isfinite().all()
        assert gradient.isfinite().all()


def test_several_students_share_one_teacher_pass():
    case = Case(dtype=torch.float32)
    shared = case.teacher().at(slice(None))
    config = LossConfig(chunk=POSITIONS)
    torch.testing.assert_close(
        case.loss(config, 1.0, teacher=shared).detached(), case.loss(config, 1.0).detached(), rtol=0, atol=0
    )


def test_observers_see_every_target_position_once():
    case = Case()
    case.labels[5] = -100
    seen = []
    config = LossConfig(chunk=7)
    with torch.no_grad():
        case.loss(config, 1.0, observe=lambda *chunk: seen.append(chunk))
    log_q = torch.cat([chunk[0] for chunk in seen])
    kept = case.labels >= 0
    torch.testing.assert_close(log_q, torch.log_softmax(case.hidden @ case.head.T, -1).detach()[kept])
    torch.testing.assert_close(torch.cat([chunk[1] for chunk in seen]), case.labels[kept])
    torch.testing.assert_close(torch.cat([chunk[2].entropy for chunk in seen]), case.teacher().at(kept).entropy)


@pytest.mark.parametrize(
    ("halved", "autocast"),
    [
        (("hidden", "head", "teacher_hidden", "teacher_head"), False),
        (("hidden", "teacher_hidden"), True),
        ((), True),
    ],
)
def test_sixteen_bit_models_get_float32_logits(halved, autocast):
    case = Case(dtype=torch.float32)
    case.labels[3] = -100
    expected = case.loss(DEFAULT, 0.5)
    expected_gradients = case.gradients(expected.objective)
    for name in halved:
        value = getattr(case, name).detach().bfloat16()
        setattr(case, name, value.requires_grad_(name in ("hidden", "head")))
    dtypes = []
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        ours = case.loss(DEFAULT, 0.5, observe=lambda log_q, *_: dtypes.append(log_q.dtype))
    assert dtypes == [torch.float32]
    torch.testing.assert_close(ours.cross_entropy, expected.cross_entropy, rtol=2e-2, atol=0)
    for mine, theirs, tensor in zip(
        case.gradients(ours.objective), expected_gradients, (case.hidden, case.head), strict=True
    ):
        assert mine.dtype == tensor.dtype
        torch.testing.assert_close(mine.float(), theirs, rtol=0.1, atol=0.1)


@given(st.integers(0, 1000), st.sampled_from(WHOLE), st.floats(0.3, 4))
def test_divergences_stay_in_their_ranges(seed, offer, tau):
    case = Case(seed=seed, positions=4)
    for divergence in ("forward-kl", "reverse-kl", "jsd"):
        config = LossConfig(divergence=divergence, temperature=tau, **OFFERS[offer])
        ours = case.loss(config, 1.0)
        assert ours.kl > 0
        assert 0 <= ours.lost_mass <= 4
        if divergence == "jsd":
            assert 0 < ours.distillation < 4 * tau**2 * math.log(2)
        if divergence == "reverse-kl":
            assert ours.distillation > 0


def test_coarser_outcomes_lose_kl():
    case = Case()
    kls = [case.loss(LossConfig(targets="top-k", top_k=k), 1.0).kl for k in (1, 3, 10, VOCABULARY)]
    assert kls == sorted(kls)
    torch.testing.assert_close(kls[-1], case.loss(LossConfig(), 1.0).kl)


def test_targets_that_do_not_fit_are_refused():
    case = Case()
    with pytest.raises(ValueError, match=r"targets are for \(10, 40\) and the student's logits \(24, 40\)"):
        case.loss(LossConfig(), 1.0, teacher=case.teacher().at(slice(0, 10)))
    other = Case(teacher_vocabulary=9)
    narrow = OnlineTeacher(other.teacher_hidden, other.teacher_head, 9)
    with pytest.raises(ValueError, match=r"targets are for \(24, 9\) and the student's logits \(24, 40\)"):
        case.loss(LossConfig(), 1.0, teacher=narrow)
    for offer in ("bucket", "renormalise"):
        config = LossConfig(**OFFERS[offer])
        with pytest.raises(ValueError, match="targets are for 10 and the student's logits 24"):
            case.loss(config, 1.0, teacher=case.teacher(config).at(slice(0, 10)))


def test_points_cannot_serve_other_divergences():
    case = Case()
    points = case.teacher(LossConfig(targets="top-1"))
    with pytest.raises(ValueError, match="'jsd' needs a teacher's probability for every token"):
        case.loss(LossConfig(divergence="jsd"), 1.0, teacher=points)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mixing": 1.5}, r"mixing must be .* got 1\.5"),
        ({"mixing": math.nan}, "mixing must be"),
        ({"mixing": ()}, "mixing must be"),
        ({"mixing": ((0.5, 1.0), (0.2, 0.0))}, "shares not falling"),
        ({"mixing": ((0.5, -1.0),)}, "mixing must be"),
        ({"temperature": 0.0}, "temperature must be positive, got 0"),
        ({"temperature": math.inf}, "temperature must be positive, got inf"),
        ({"z_loss": -1e-4}, r"z_loss must be 0 or more, got -0\.0001"),
        ({"chunk": 0}, "chunk must be 1 position or more, got 0"),
        ({"divergence": "kl"}, "divergence 'kl' is unknown; choose forward-kl, reverse-kl, jsd"),
        ({"targets": "top"}, "targets 'top' is unknown; choose dense, top-k, top-p, sampled, top-1"),
        ({"divergence": "jsd", "targets": "top-1"}, "'jsd' needs a teacher's probability .* got targets 'top-1'"),
        ({"divergence": "reverse-kl", "targets": "top-k", "top_k": 3, "tail": "renormalise"}, "'reverse-kl' needs"),
        ({"targets": "top-k"}, "top_k is missing"),
    ],
)
def test_configs_that_mean_nothing_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        LossConfig(**change)


def test_lambda_follows_its_knots():
    assert LossConfig(mixing=0.3).mixing_at(0.9) == 0.3
    ramp = LossConfig(mixing=((0.2, 1.0), (0.6, 0.0)))
    assert [ramp.mixing_at(x) for x in (0.0, 0.2, 0.4, 0.6, 1.0)] == pytest.approx([1, 1, 0.5, 0, 0])
    handover = LossConfig(mixing=((0.7, 1.0), (0.7, 0.0)))
    assert [handover.mixing_at(x) for x in (0.0, 0.6999, 0.7, 1.0)] == [1, 1, 0, 0]
    late = LossConfig(mixing=((0.0, 0.0), (1.0, 1.0)))
    assert [late.mixing_at(x) for x in (0.0, 0.25, 1.0)] == [0, 0.25, 1]


def test_the_offer_is_the_configs():
    assert LossConfig(targets="top-k", top_k=4, tail="renormalise").offer == Offer(
        targets="top-k", top_k=4, tail="renormalise"
    )
