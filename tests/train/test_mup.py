import math

import pytest
import torch

from distlaw.train.model import ModelConfig, build_model
from distlaw.train.mup import EMBEDDING_STD, parameter_groups, role_of

RATE, DECAY = 0.02, 1e-4


def built(width, *, layers=2, seed=0, **options):
    config = ModelConfig(layers=layers, width=width)
    return config, build_model(config, vocab_size=64, context=16, seed=seed, **options)


def by_parameter(width, **options):
    """The group of every parameter, by the parameter's name."""
    config, model = built(width)
    groups = parameter_groups(model, config, rate=RATE, weight_decay=DECAY, **options)
    names = {id(p): name for name, p in model.named_parameters()}
    found = [(names[id(p)], group) for group in groups for p in group["params"]]
    assert sorted(name for name, _ in found) == sorted(names.values()), "every parameter, and each once"
    return dict(found)


def test_rates_and_decays_are_those_of_the_table():
    groups = by_parameter(128, base_width=32)
    d_ff, base_d_ff = 352, 96
    expected = {
        "model.embed_tokens.weight": (1, 1),
        "model.norm.weight": (1, 0),
        "lm_head.weight": (4, 4),
    }
    for i in (0, 1):
        layer = f"model.layers.{i}"
        expected |= {f"{layer}.self_attn.{p}_proj.weight": (4, 4) for p in "qkvo"}
        expected |= {f"{layer}.mlp.{p}_proj.weight": (4, 4) for p in ("gate", "up")}
        expected[f"{layer}.mlp.down_proj.weight"] = (d_ff / base_d_ff, d_ff / base_d_ff)
        norms = ("self_attn.q_norm", "self_attn.k_norm", "input_layernorm", "post_attention_layernorm")
        expected |= {f"{layer}.{norm}.weight": (1, 0) for norm in norms}
    assert {name: (RATE / group["lr"], group["weight_decay"] / DECAY) for name, group in groups.items()} == {
        name: pytest.approx(pair) for name, pair in expected.items()
    }


def test_the_head_has_a_group_of_its_own():
    groups = by_parameter(64)
    assert {group["name"] for group in groups.values()} == {"embedding", "matrix", "norm", "head"}
    assert [name for name, group in groups.items() if group["name"] == "head"] == ["lm_head.weight"]


@pytest.mark.parametrize("parametrisation", ["mup", "standard"])
def test_decoupled_decay_is_the_same_at_every_width(parametrisation):
    for width in (16, 32, 80):
        for name, group in by_parameter(width, parametrisation=parametrisation).items():
            taken = 0 if role_of(name) == "norm" else RATE * DECAY
            assert group["lr"] * group["weight_decay"] == pytest.approx(taken)


def test_at_the_base_width_and_in_the_standard_parametrisation_there_is_one_rate():
    for groups in (by_parameter(48, base_width=48), by_parameter(128, parametrisation="standard")):
        assert {group["lr"] for group in groups.values()} == {RATE}
        assert {group["weight_decay"] for group in groups.values()} == {DECAY, 0.0}


def test_a_step_of_adamw_moves_each_weight_by_its_rate():
    config, model = built(128)
    groups = parameter_groups(model, config, rate=1e-3, weight_decay=0.0)
    optimizer = torch.optim.AdamW(groups, fused=True)
    before = [p.detach().clone() for group in groups for p in group["params"]]
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    optimizer.step()
    rates = [group["lr"] for group in groups for _ in group["params"]]
    after = [p for group in groups for p in group["params"]]
    assert 1e-3 / 4 in [pytest.approx(rate) for rate in rates]
    for old, new, rate in zip(before, after, rates, strict=True):
        torch.testing.assert_close(old - new, torch.full_like(new, rate), rtol=1e-2, atol=1e-6)


def test_initial_weights_have_the_tables_deviations():
    _, model = built(256, base_width=32)
    for name, weight in model.named_parameters():
        fan_in = weight.shape[-1]
        expected = {
            "embedding": EMBEDDING_STD,
            "matrix": 1 / math.sqrt(fan_in),
            "head": 1 / math.sqrt(32) / (256 / 32),
        }
        role = role_of(name)
        if role == "norm":
            assert torch.equal(weight, torch.ones_like(weight))
        else:
            assert weight.std().item() == pytest.approx(expected[role], rel=0.03)
            assert abs(weight.mean().item()) < 0.05 * expected[role]


def test_the_parametrisations_start_apart_in_the_head_alone_and_meet_at_the_base():
    mup, standard = built(128)[1].state_dict(), built(128, parametrisation="standard")[1].state_dict()
    assert [name for name in mup if not torch.equal(mup[name], standard[name])] == ["lm_head.weight"]
    torch.testing.assert_close(mup["lm_head.weight"] * 2, standard["lm_head.weight"])  # sqrt(m), m = 4
    mup, standard = built(32)[1].state_dict(), built(32, parametrisation="standard")[1].state_dict()
    assert all(torch.equal(mup[name], standard[name]) for name in mup)


def test_no_two_weights_start_alike():
    weights = [p for name, p in built(32)[1].named_parameters() if role_of(name) != "norm"]
    firsts = [p.flatten()[:8] / p.std() for p in weights]
    for i, a in enumerate(firsts):
        assert all(not torch.allclose(a, b, atol=0.1) for b in firsts[:i])


def test_a_name_without_a_role_is_refused():
    with pytest.raises(ValueError, match=r"parameter 'transformer\.wte\.weight' has no role"):
        role_of("transformer.wte.weight")


def test_a_base_width_that_no_model_can_have_is_refused():
    with pytest.raises(ValueError, match=r"width must be a multiple of head_size \(16\), got 24"):
        by_parameter(64, base_width=24)
    with pytest.raises(ValueError, match=r"width must be a multiple of head_size \(16\), got 24"):
        built(64, base_width=24)
