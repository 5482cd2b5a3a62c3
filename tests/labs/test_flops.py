import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from distlaw.costs import PAPER_FAMILY
from distlaw.labs import flops
from distlaw.labs.flop_counts import Counts, Shape, count, seconds_per_token
from distlaw.labs.flops import LAB, LAYERS, report, shapes
from distlaw.labs.lab import Bench
from distlaw.train.model import ModelConfig, hidden_states


def of_family(family, full=False):
    return [shape for shape in shapes("full" if full else "quick") if shape.family == family]


def needed(shape):
    """Products of a forward pass per token, a sum written out: causal attention at half."""
    a = shape.architecture
    layer = 4 * 2 * a.d_model * a.n_heads * a.d_head + 2 * a.n_heads * a.d_head * a.n_ctx + 3 * 2 * a.d_model * a.d_ff
    return a.n_layers * layer + 2 * a.d_model * a.n_vocab


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("shape", of_family("tiny")[:3], ids=lambda shape: f"{shape.config.layers} layers")
def test_torch_and_the_modules_shapes_say_what_is_needed_and_the_other_half_of_the_square(shape, device):
    found = count(shape, device)
    assert found.forward == found.linear + found.attention
    assert found.forward - found.attention / 2 == needed(shape)
    assert found.backward == 2 * found.forward


@pytest.mark.parametrize(("layers", "N"), [(8, 0.1028e9), pytest.param(40, 12.61e9, marks=pytest.mark.slow)])
def test_the_paper_s_smallest_and_largest_model_are_counted_without_memory(layers, N):
    [shape] = [one for one in of_family("paper") if one.config.layers == layers]
    assert shape.architecture.n_params == pytest.approx(N, rel=1e-3)
    assert shape.architecture.forward_flops == PAPER_FAMILY.member(layers).forward_flops
    found = count(shape, "meta")
    assert found.forward - found.attention / 2 == needed(shape)


def test_torch_counts_no_attention_where_models_take_the_fused_kernel_of_a_cpu():
    shape = of_family("tiny")[1]
    model, tokens = shape.build("cpu"), torch.zeros(1, shape.context, dtype=torch.long)
    with FlopCounterMode(display=False) as seen:
        model.lm_head(hidden_states(model, tokens))
    assert seen.get_total_flops() == count(shape, "cpu").linear * shape.context


def test_torch_counts_the_way_back_through_fused_attention_of_a_gpu_at_two_and_a_half():
    one = (1, 2, 64, 16)
    assert sdpa_backward_flop_count(one, one, one, one) == 2.5 * sdpa_flop_count(one, one, one)
    assert sdpa_flop_count(one, one, one) == 2 * 2 * 2 * 64 * 64 * 16  # the whole square, 2 heads


def test_full_has_every_row_of_table_13():
    assert LAYERS["full"]["paper"] == (8, 9, 10, 11, 14, 17, 21, 24, 29, 34, 40)
    assert [shape.config.layers for shape in of_family("paper", full=True)] == [*LAYERS["full"]["paper"]]


def test_a_token_s_time_is_positive_and_grows_with_the_model():
    small, large = (seconds_per_token(of_family("tiny")[i], repeats=2) for i in (0, 3))
    assert small.shape == (2,)
    assert (small > 0).all()
    assert large.min() > small.max()
    assert large.max() < 1e-3  # of a token, not of a batch


def test_what_the_lab_says_of_the_rule_and_of_times():
    tiny = of_family("tiny")[:2]
    counted = {shape: count(shape, "cpu") for shape in tiny}
    F, N = (np.array([getattr(s.architecture, name) for s in tiny]) for name in ("forward_flops", "n_params"))
    # Seconds that follow the count, in one repeat twice as many, and then seconds that follow N.
    for seconds, spread in ((3e-9 * F, 1.0), (6e-9 * N, (F / N).max() / (F / N).min())):
        found = report(counted, dict(zip(tiny, np.outer(seconds, (1.0, 2.0)), strict=True)))
        *exact, rule, times = found.findings
        assert [finding.verdict for finding in exact] == ["holds"] * 4
        assert rule.effect.value == pytest.approx(100 * (2 * N[0] / F[0] - 1))
        assert rule.verdict == "does not hold"
        assert times.effect.value == pytest.approx(spread)
        assert times.verdict == ("holds" if spread < 2 else "does not hold")
    wrong = {shape: Counts(**{**vars(c), "forward": 1.01 * c.forward}) for shape, c in counted.items()}
    found = report(wrong, {shape: np.array([1.0, 1.0]) for shape in tiny})
    assert [finding.verdict for finding in found.findings[:3]] == ["does not hold"] * 3


def test_the_lab(tmp_path, monkeypatch):
    monkeypatch.setattr(flops, "shapes", lambda _preset: [*of_family("tiny")[:2], of_family("small")[0]])
    monkeypatch.setattr(flops, "seconds_per_token", lambda shape, repeats: np.full(repeats, 1e-6 * shape.config.layers))
    found = LAB.examine(Bench(preset="quick", out=tmp_path, cache=tmp_path))
    counts, times = found.tables
    assert [row[0] for row in counts.rows] == ["tiny", "tiny", "small"]
    assert len(times.rows) == 2
    row = dict(zip(counts.columns, counts.rows[1], strict=True))
    shape = Shape(family="tiny", config=ModelConfig(layers=2), vocab_size=512, context=128)
    assert row["N"] == shape.architecture.n_params
    assert row["products against torch's, %"] == 0
    assert row["2 N or 6 N D, %"] == pytest.approx(100 * (2 * row["N"] / shape.architecture.forward_flops - 1))
    assert row["backward over forward"] == 2
    assert LAB.examine(Bench(preset="quick", out=tmp_path, cache=tmp_path)).tables == found.tables
