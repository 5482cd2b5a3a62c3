import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distlaw.costs import PAPER_FAMILY, read_architecture
from distlaw.train.model import ModelConfig, _Normalised, _takes_the_short_way, build_model, hidden_states
from distlaw.train.model import non_embedding_params as count
from distlaw.train.mup import role_of

transformers = pytest.importorskip("transformers")

SMALL = {"vocab_size": 48, "context": 24}


def small(seed=0, **config):
    return build_model(ModelConfig(**config), seed=seed, **SMALL)


def tokens(batch=3, time=24, seed=0):
    return torch.randint(0, 48, (batch, time), generator=torch.Generator().manual_seed(seed))


def by_transformers(model, ids):
    return model.model(input_ids=ids, use_cache=False).last_hidden_state


def with_uneven_gains(model):
    """Gains of 1 would hide a norm that forgets them."""
    generator = torch.Generator().manual_seed(1)
    for name, weight in model.named_parameters():
        if role_of(name) == "norm":
            torch.nn.init.normal_(weight, 1.0, 0.3, generator=generator)
    return model


# --- Shape ------------------------------------------------------------------------------------------------------------


@settings(max_examples=12, deadline=None)
@given(
    layers=st.integers(1, 3),
    heads=st.integers(1, 4),
    head_size=st.sampled_from([2, 8, 16]),
    ffn_ratio=st.floats(0.5, 4),
    ffn_multiple=st.sampled_from([1, 8, 16]),
    vocab_size=st.integers(1, 99),
)
def test_the_model_has_the_parameters_that_costs_counts(layers, heads, head_size, ffn_ratio, ffn_multiple, vocab_size):
    config = ModelConfig(
        layers=layers,
        width=heads * head_size,
        head_size=head_size,
        ffn_ratio=ffn_ratio,
        ffn_multiple=ffn_multiple,
    )
    shape = config.architecture(vocab_size=vocab_size, context=24)
    model = build_model(config, vocab_size=vocab_size, context=24, seed=0)
    assert count(model) == shape.n_params
    assert sum(p.numel() for p in model.parameters()) == shape.n_total


@pytest.mark.parametrize("layers", [1, 7, 14])
def test_it_is_the_papers_family_at_the_papers_ratios(layers):
    paper = ModelConfig(layers=layers, aspect_ratio=128, head_size=128, ffn_multiple=128)
    shape = paper.architecture(vocab_size=32768, context=4096)
    member = PAPER_FAMILY.member(layers)
    assert shape.n_params == member.n_params  # the output layer stands apart, which N does not count
    assert (shape.d_model, shape.d_ff, shape.n_heads) == (member.d_model, member.d_ff, member.n_heads)
    assert (shape.tied, member.tied) == (False, True)


def test_width_follows_from_depth_unless_it_is_given():
    assert ModelConfig(layers=3, aspect_ratio=32).d_model == 96
    assert ModelConfig(layers=3, aspect_ratio=32, width=64).d_model == 64
    assert ModelConfig(layers=2, aspect_ratio=8).d_model == 16  # heads divide the width, if not the aspect ratio


def test_the_feed_forward_block_has_its_ratio_rounded_up():
    for ratio, multiple, d_ff in ((4.0, 16, 128), (2.5, 32, 96), (8 / 3, 1, 86)):
        config = ModelConfig(width=32, ffn_ratio=ratio, ffn_multiple=multiple)
        assert config.architecture(**SMALL).d_ff == d_ff


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"layers": 0}, "layers must be a whole number of at least 1, got 0"),
        ({"layers": 2.0}, "layers must be a whole number of at least 1, got 2.0"),
        ({"layers": True}, "layers must be"),
        ({"aspect_ratio": -16}, "aspect_ratio must be"),
        ({"ffn_ratio": 0.0}, "ffn_ratio must be positive, got 0.0"),
        ({"ffn_ratio": float("nan")}, "ffn_ratio must be positive"),
        ({"rope_theta": float("inf")}, "rope_theta must be positive"),
        ({"norm_eps": 0.0}, "norm_eps must be positive"),
        ({"ffn_multiple": 0}, "ffn_multiple must be"),
        ({"head_size": 5}, "head_size must be even, since rotary positions turn pairs, got 5"),
        ({"width": 40}, r"width must be a multiple of head_size \(16\), got 40"),
        ({"width": 0}, "width must be a whole number of at least 1, got 0"),
        ({"width": 32.0}, "width must be a whole number"),
        ({"layers": 3, "aspect_ratio": 8}, r"aspect_ratio x layers must be a multiple of head_size \(16\), got 24"),
    ],
)
def test_a_bad_shape_is_named(config, message):
    with pytest.raises(ValueError, match=message):
        ModelConfig(**config)


def test_a_bad_vocabulary_is_named():
    with pytest.raises(ValueError, match="n_vocab must be positive, got 0"):
        build_model(ModelConfig(), vocab_size=0, context=24, seed=0)


# --- Building and opening ---------------------------------------------------------------------------------------------


def test_a_seed_gives_the_same_bits_and_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = small(seed=0)
    assert torch.equal(torch.rand(3), expected)
    again, other = small(seed=0).state_dict(), small(seed=1).state_dict()
    for name, weight in first.state_dict().items():
        assert torch.equal(weight, again[name])
        assert role_of(name) == "norm" or not torch.equal(weight, other[name])


def test_the_model_is_set_up_as_documented():
    model = small(rope_theta=1000.0, norm_eps=1e-3)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert model.config.use_cache is False
    assert model.config._attn_implementation == "sdpa"
    assert model.config.max_position_embeddings == 24
    assert model.config.rope_parameters["rope_theta"] == 1000.0
    assert model.config.rms_norm_eps == 1e-3
    assert model.lm_head.weight is not model.model.embed_tokens.weight


def test_any_tool_opens_the_checkpoint(tmp_path):
    model = with_uneven_gains(small(layers=3, rope_theta=1000.0, norm_eps=1e-3))
    model.save_pretrained(tmp_path)
    opened = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    assert type(opened) is type(model)
    assert opened.lm_head.weight.data_ptr() != opened.model.embed_tokens.weight.data_ptr()
    with torch.no_grad():
        ours = model.lm_head(hidden_states(model, tokens()))
        theirs = opened(tokens()).logits
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
    shape = read_architecture(tmp_path / "config.json")
    assert shape.n_params == count(opened)
    assert json.loads((tmp_path / "config.json").read_text())["tie_word_embeddings"] is False


# --- The short way ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "batch", "time"),
    [
        ({}, 3, 24),
        ({"layers": 1, "width": 16}, 1, 24),
        ({"layers": 3, "head_size": 8, "width": 40}, 2, 7),
        ({"width": 64, "head_size": 32, "rope_theta": 100.0, "norm_eps": 1e-2}, 2, 1),
    ],
)
def test_the_short_way_is_the_models_own_forward_pass(config, batch, time):
    model = with_uneven_gains(small(**config))
    assert _takes_the_short_way(model)
    ids = tokens(batch, time)
    weights = torch.randn(batch, time, model.config.hidden_size, generator=torch.Generator().manual_seed(0))
    gradients = []
    for forward in (by_transformers, hidden_states):
        model.zero_grad()
        out = forward(model, ids)
        (out * weights).sum().backward()
        found = {n: p.grad for n, p in model.named_parameters() if not n.startswith("lm_head")}
        gradients.append((out.detach(), found))
    (expected, expected_grads), (actual, actual_grads) = gradients
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-5)
    for name, gradient in expected_grads.items():
        scale = max(gradient.abs().max().item(), 1.0)  # queries have no gradient where there is one key
        assert (actual_grads[name] - gradient).abs().max().item() <= 1e-5 * scale, name


def test_no_position_sees_a_later_one():
    model, ids = small(), tokens()
    changed = ids.clone()
    changed[:, 10:] = (changed[:, 10:] + 1) % 48
    with torch.no_grad():
        before, after = hidden_states(model, ids), hidden_states(model, changed)
    assert torch.equal(before[:, :10], after[:, :10])
    assert not torch.isclose(before[:, 10:], after[:, 10:]).all(-1).any()


def test_a_first_call_in_inference_mode_does_not_spoil_training():
    model = small(rope_theta=123.0)  # a table of rotations that no other test has made
    with torch.inference_mode():
        hidden_states(model, tokens())
    hidden_states(model, tokens()).sum().backward()
    assert model.model.layers[0].self_attn.q_proj.weight.grad is not None


def variant(**changes):
    config = transformers.Qwen3Config(
        **{
            "vocab_size": 48,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 4,
            "head_dim": 8,
            "max_position_embeddings": 24,
        }
        | changes
    )
    return transformers.Qwen3ForCausalLM(config)


@pytest.mark.parametrize(
    "changes",
    [
        {"num_key_value_heads": 2},
        {"attention_bias": True},
        {"hidden_act": "gelu"},
        {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 0},
        {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_model_of_another_kind_takes_its_own_way(changes):
    assert _takes_the_short_way(variant())
    model = variant(**changes)
    for name, bias in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(bias)
    assert not _takes_the_short_way(model)
    with torch.no_grad():
        assert torch.equal(hidden_states(model, tokens()), by_transformers(model, tokens()))


def test_other_families_types_and_modes_take_the_models_own_way():
    llama = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=48, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=2
        )
    )
    with torch.no_grad():
        assert torch.equal(hidden_states(llama, tokens()), by_transformers(llama, tokens()))
    assert not _takes_the_short_way(small().bfloat16())
    model = small()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not _takes_the_short_way(model)
    assert _takes_the_short_way(model)
    model.model.gradient_checkpointing = True  # what its enabling sets, whose name is another in each version
    assert not _takes_the_short_way(model)


def test_the_gradient_of_the_norm():
    x = torch.randn(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: _Normalised.apply(x, 0.1), (x,))
