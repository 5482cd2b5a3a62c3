import numpy as np
import pytest
import torch

from distlaw.report.train_figures import coordinate_check_figure
from distlaw.train.coordinate_check import CoordinateCheck, _structured_tokens, _train, coordinate_check
from distlaw.train.model import ModelConfig, build_model
from distlaw.train.mup import parameter_groups

WIDTHS = (16, 32, 64, 128)


def check(**options):
    return coordinate_check(**{"context": 32} | options)


@pytest.fixture(scope="module")
def found():
    torch.set_num_threads(1)
    return {name: check(parametrisation=name) for name in ("mup", "standard", "unscaled-head")}


# --- Training ---------------------------------------------------------------------------------------------------------


def test_mup_keeps_every_activation_at_every_width(found):
    mup = found["mup"]
    assert mup.passed, mup.failures
    assert mup.margin_slope == pytest.approx(0, abs=0.03)
    # Not for want of movement: features and logits have changed by the last step.
    assert np.all(np.abs(mup.sizes["block 1 attention"][-1] / mup.sizes["block 1 attention"][0] - 1) > 0.1)
    assert np.all(mup.sizes["logits"][-1] > 0.2)


def test_one_rate_for_all_fails_in_the_blocks(found):
    standard = found["standard"]
    assert not standard.passed
    for name in ("block 0 feed-forward", "block 0 residual", "block 1 residual", "logits"):
        assert standard.slopes[name].max() > 0.2
    # The widths start alike; it is the steps that drive them apart.
    assert all(abs(slopes[0]) < 0.1 for slopes in standard.slopes.values())


def test_an_unscaled_head_fails_in_its_margin_and_logits(found):
    unscaled = found["unscaled-head"]
    assert unscaled.margin_slope == pytest.approx(1, abs=0.05)
    text = "; ".join(unscaled.failures)
    assert "margin: slope +1.0" in text
    assert "logits: slope +0." in text
    assert "feed-forward" not in text
    assert "block 0" not in text


def test_all_agree_at_the_base_width(found):
    for name, sizes in found["mup"].sizes.items():
        for other in ("standard", "unscaled-head"):
            np.testing.assert_allclose(found[other].sizes[name][:, 0], sizes[:, 0], rtol=1e-4)


def test_every_block_is_measured_at_every_step(found):
    mup = found["mup"]
    parts = {f"block {i} {part}" for i in (0, 1) for part in ("attention", "feed-forward", "residual")}
    assert set(mup.sizes) == {"logits"} | parts
    assert {sizes.shape for sizes in mup.sizes.values()} == {(5, 4)}
    assert np.all(mup.sizes["logits"][0] == 0)
    assert all(np.all(sizes[1:] > 0) for sizes in mup.sizes.values())


def test_the_sizes_are_those_of_an_ordinary_loop():
    config, tokens = ModelConfig(layers=1, width=32), _structured_tokens(64, 8, 0)
    options = {"parametrisation": "mup", "base_width": 16}
    run = _train(config, tokens, vocab_size=64, steps=3, seed=2, **options)
    model = build_model(config, vocab_size=64, context=8, seed=2, **options)
    torch.nn.init.zeros_(model.lm_head.weight)
    groups = parameter_groups(model, config, rate=1e-2, weight_decay=0.0, **options)
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.95))
    margins = []
    for step in range(4):
        out = model(input_ids=tokens[:, :-1], output_hidden_states=True)
        logits, targets = out.logits, tokens[:, 1:]
        first, last = model.model.embed_tokens(tokens[:, :-1]), out.hidden_states[-1]
        assert run.sizes["logits"][step] == pytest.approx(logits.square().mean().sqrt().item(), rel=1e-4)
        residual = model.model.layers[0](
            first, position_embeddings=model.model.rotary_emb(first, torch.arange(8)[None])
        )
        assert run.sizes["block 0 residual"][step] == pytest.approx(residual.square().mean().sqrt().item(), rel=1e-4)
        torch.testing.assert_close(model.model.norm(residual), last)
        margins.append((logits - logits.mean(-1, keepdim=True)).gather(-1, targets[..., None]).mean().item())
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten()).backward()
        optimizer.step()
    assert run.margin == pytest.approx(margins[1])


def test_it_repeats_and_leaves_the_global_generator_alone():
    options = {"widths": (16, 32, 48, 64), "steps": 1, "layers": 1, "context": 8}
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, again, other = check(**options), check(**options), check(**options, seed=1)
    assert torch.equal(torch.rand(3), expected)
    assert first.margins == again.margins != other.margins
    for name, sizes in first.sizes.items():
        np.testing.assert_array_equal(sizes, again.sizes[name])


def test_the_tokens_have_structure():
    drawn = _structured_tokens(256, 64, 0)
    assert drawn.shape == (8, 65)
    pairs = list(zip(drawn[:, :-1].flatten().tolist(), drawn[:, 1:].flatten().tolist(), strict=True))
    assert len(set(pairs)) < 0.75 * len(pairs)  # what follows repeats
    counts = np.bincount(drawn.flatten().numpy(), minlength=256)
    assert counts.max() > 4 * counts.mean()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"widths": (32, 64, 128)}, "widths must be at least 4 different ones, got 32, 64, 128"),
        ({"widths": (32, 32, 64, 128)}, "widths must be at least 4 different ones"),
        ({"widths": ()}, "got none"),
        ({"widths": (32, 64, 128, 200)}, r"width must be a multiple of head_size \(16\), got 200"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"seed": -1}, "seed must be 0 or more, got -1"),
    ],
)
def test_a_check_that_says_nothing_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        check(**options)


# --- Judging ----------------------------------------------------------------------------------------------------------


def judged(name="block 0 residual", sizes=((1, 1, 1, 1),), margins=(1, 1, 1, 1)):
    return CoordinateCheck(
        parametrisation="mup",
        widths=WIDTHS,
        sizes={name: np.array(sizes, dtype=float)},
        margins=tuple(map(float, margins)),
    )


def power(slope):
    return [3 * width**slope for width in WIDTHS]


@pytest.mark.parametrize("slope", [-1, -0.3, 0, 0.09, 0.5])
def test_the_slope_is_the_power_of_width(slope):
    result = judged(sizes=[power(0), power(slope)])
    np.testing.assert_allclose(result.slopes["block 0 residual"], [0, slope], atol=1e-12)
    assert judged(margins=power(slope)).margin_slope == pytest.approx(slope, abs=1e-12)


def test_blocks_may_neither_grow_nor_shrink_and_logits_may_shrink():
    for slope in (-0.2, 0.2):
        assert judged(sizes=[power(0), power(slope)]).failures == (f"block 0 residual: slope {slope:+.2f} at step 1",)
        assert judged(margins=power(slope)).failures == (f"margin: slope {slope:+.2f} at step 1",)
    assert judged("logits", [power(-0.2)]).passed
    assert not judged("logits", [power(0.2)]).passed
    assert judged(sizes=[power(0.09)], margins=power(-0.09)).passed


def test_what_diverged_fails_and_what_is_zero_everywhere_is_flat():
    assert judged("logits", [(0, 0, 0, 0), power(0)]).passed
    for broken in (float("nan"), float("inf"), 0.0):
        assert not judged(sizes=[power(0), (1, 1, 1, broken)]).passed
        assert not judged("logits", [power(0), (1, 1, 1, broken)]).passed or broken == 0.0
        assert not judged(margins=(1, 1, 1, broken)).passed
    assert not judged(margins=(1, 1, 1, -1)).passed


# --- Figure -----------------------------------------------------------------------------------------------------------


def test_the_figure_shows_every_size_and_the_verdict(found):
    for name, verdict in (("mup", "passed"), ("standard", "failed")):
        figure = coordinate_check_figure(found[name])
        panels = {axes.get_title(loc="left"): axes for axes in figure.axes}
        assert list(panels)[-1] == "margin after step 1, nats"
        assert set(panels) >= {"attention", "feed-forward", "residual", "logits"}
        assert figure.get_suptitle() == f"Coordinate check of {name}: {verdict}"
        drawn = [line.get_ydata() for axes in figure.axes for line in axes.get_lines()]
        for sizes in found[name].sizes.values():
            for row in sizes[~np.all(sizes == 0, axis=1)]:
                assert any(np.array_equal(row, line) for line in drawn)
        assert any(np.array_equal(found[name].margins, line) for line in drawn)
        for axes in figure.axes:
            low, high = axes.get_ylim()
            assert high / low > 3.99  # a flat line must not fill the panel with its noise
